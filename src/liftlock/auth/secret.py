"""A secret that does not show itself, and the credential it belongs to."""

from __future__ import annotations

from liftlock.typed import Literal, NamedTuple, NoReturn

__all__ = ["IDENTITY_TOKEN_USER", "Credential", "Secret"]

IDENTITY_TOKEN_USER = "<token>"
"""The user name by which credential stores say that a secret is an identity token."""


class Secret:
    """Text that is shown as ``***`` wherever it is printed, formatted or logged; only `reveal` gives it away."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """The text itself, for the wire and for a credential store."""
        return self._text

    def __repr__(self) -> str:
        return "***"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return format("***", spec)

    def __bool__(self) -> bool:
        return bool(self._text)

    def __eq__(self, other: object) -> bool:
        return self._text == other._text if isinstance(other, Secret) else NotImplemented

    def __hash__(self) -> int:
        return hash((Secret, self._text))

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret is not pickled")


class Credential(NamedTuple):
    """What a registry can be told about who is asking."""

    username: str
    secret: Secret
    kind: Literal["password", "identity-token", "bearer"] = "password"
    """A password (or access key), an OAuth2 refresh token, or a token that is sent to the registry as it is."""
