"""Registries whose passwords a cloud gives out for a short time: which module asks which cloud.

Nothing of a cloud is imported before a registry of it is used. A module has one function, `Provider`.
"""

from __future__ import annotations

from collections.abc import Mapping

from liftlock.auth.secret import Credential
from liftlock.oci.hosts import matches
from liftlock.typed import Protocol, cast

__all__ = ["Provider", "has_strangers", "is_over", "provider_of"]

_MODULES: tuple[tuple[str, str], ...] = (
    ("*.dkr.ecr.*.amazonaws.com", "liftlock.auth.ecr"),
    ("*.dkr.ecr.*.amazonaws.com.cn", "liftlock.auth.ecr"),
    ("*.dkr.ecr-fips.*.amazonaws.com", "liftlock.auth.ecr"),
    ("*.dkr-ecr.*.on.aws", "liftlock.auth.ecr"),
    ("*.dkr-ecr-fips.*.on.aws", "liftlock.auth.ecr"),
    ("public.ecr.aws", "liftlock.auth.ecr"),
    ("*.azurecr.io", "liftlock.auth.acr"),
    ("*.azurecr.cn", "liftlock.auth.acr"),
    ("*.azurecr.us", "liftlock.auth.acr"),
    ("*-docker.pkg.dev", "liftlock.auth.gar"),
    ("gcr.io", "liftlock.auth.gar"),
    ("*.gcr.io", "liftlock.auth.gar"),
)
"""Host pattern → module; the first match counts."""


class Provider(Protocol):
    """Asks one cloud for a registry's password."""

    def credential(self, registry: str, env: Mapping[str, str], role: str) -> Credential | None:
        """The credential for a registry, with the moment until which it is good; None when this environment has no
        identity there, so that one is anonymous.

        ``role`` is who to become first, where the cloud has that; empty for nobody else. What is asked for again is
        remembered by the module until shortly before its end, for all threads of the process. Raises `AccessDenied`
        when the cloud knows the identity and refuses it, `ConfigError` when the cloud's library is not installed,
        or its configuration broken, `TransportError` when the cloud does not answer.
        """
        ...


def provider_of(registry: str) -> Provider | None:
    """The cloud of a registry, by its host; None for one that needs none."""
    host = registry.lower().partition(":")[0]
    for pattern, module in _MODULES:
        if matches(pattern, host):
            from importlib import import_module

            return cast(Provider, import_module(module))
    return None


def has_strangers(registry: str) -> bool:
    """Whether a cloud's registry may let anybody read. Then an identity that cannot be had is not the end yet."""
    return not registry.lower().partition(":")[0].endswith((".amazonaws.com", ".amazonaws.com.cn", ".on.aws"))


def is_over(stored: Credential, now: float) -> bool:
    """Whether a stored login says of itself that it has ended; ``now`` in seconds since the epoch.

    What ``docker login`` keeps of Amazon ECR is good for 12 hours, and then answered with 403. It is base64 of JSON
    with ``expiration`` (CircleCI-Public/aws-ecr-orb#265). What ``az acr login`` keeps is a JWT, good for three hours.
    What cannot be read is not over.
    """
    if stored.kind == "identity-token":
        from liftlock.auth.expiring import claims

        end = claims(stored.secret.reveal()).get("exp")
        return isinstance(end, int) and end <= now
    if stored.username != "AWS":
        return False
    import json
    from base64 import b64decode

    try:
        return bool(json.loads(b64decode(stored.secret.reveal()))["expiration"] <= now)
    except (ValueError, KeyError, TypeError, RecursionError):
        return False
