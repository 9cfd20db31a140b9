"""How one registry is talked to, where a pipeline file says more than its host does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from liftlock.typed import NamedTuple

__all__ = ["NewRepository", "RegistryAccess", "surroundings", "told"]


class NewRepository(NamedTuple):
    """What a repository is made like that is missing at its first push (Amazon ECR)."""

    immutable: bool = False
    """Whether its tags cannot be moved."""
    scan_on_push: bool = False
    encryption: str = ""
    """``AES256``, ``KMS`` (the registry's own key), or the ARN of a key; empty for the registry's default."""
    lifecycle: str = ""
    """A file with its lifecycle policy, as JSON; empty for none."""
    tags: Mapping[str, str] = {}


class RegistryAccess(NamedTuple):
    """One registry's options. Paths are absolute; nothing in it is secret."""

    plain_http: bool = False
    ca_file: str = ""
    endpoint: str = ""
    """The URL at which it is spoken to instead of at its own host; see `Settings.endpoints`."""
    role: str = ""
    """The ARN of the AWS role that is assumed for it."""
    create: NewRepository | None = None
    """What missing repositories are made like; None: their absence is an error."""
    import_into: str = ""
    """The Azure resource id of the registry, where images may be imported by the registry itself."""
    lock: bool = False
    """Whether promoted tags and digests are locked (Azure Container Registry)."""


_TLS = ("LIFTLOCK_CA_FILE", "LIFTLOCK_CLIENT_CERT", "LIFTLOCK_CLIENT_KEY")


def told(env: Mapping[str, str], *, plain_http: Sequence[str], tls: Sequence[str]) -> Mapping[str, str]:
    """The environment, with what flags say in the variables that the transport reads; ``tls`` as `TlsFiles` has it."""
    changed = {name: file for name, file in zip(_TLS, tls, strict=True) if file}
    if plain_http:
        changed["LIFTLOCK_PLAIN_HTTP"] = ",".join((*plain_http, env.get("LIFTLOCK_PLAIN_HTTP", "")))
    return {**env, **changed} if changed else env


def surroundings(env: Mapping[str, str], registry: str, access: RegistryAccess | None) -> Mapping[str, str]:
    """The environment as it is for one registry: how it is reached, in the variables that the transport reads.

    For those who speak to it with a transport of their own, as the clouds' modules do for its credentials.
    """
    if access is None:
        return env
    own = {
        # What the environment says comes first, as it does for everything else.
        "LIFTLOCK_ENDPOINTS": f"{registry}={access.endpoint}," if access.endpoint else "",
        "LIFTLOCK_PLAIN_HTTP": f"{registry}," if access.plain_http else "",
    }
    changed = {name: value + env.get(name, "") for name, value in own.items() if value}
    if access.ca_file:
        changed["LIFTLOCK_CA_FILE"] = access.ca_file
    return {**env, **changed} if changed else env
