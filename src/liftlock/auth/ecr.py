"""Amazon ECR's passwords, for whoever this environment is at AWS (`aws`), or for a role of its choice.

A password is asked for in the registry's own region. It opens every registry that its owner may use, those of other
accounts too: there the repository's policy has to allow it. It lives for 12 hours, and is asked for anew an hour
before. ECR Public has one place for all, and anonymous readers.
Source: Amazon ECR API, GetAuthorizationToken; "Amazon ECR endpoints and quotas" for the names of hosts.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping

from liftlock.auth import aws
from liftlock.auth.expiring import LONGEST_MARGIN, Expiring
from liftlock.auth.secret import Credential, Secret
from liftlock.errors import ConfigError, TransportError
from liftlock.typed import Any, NamedTuple

__all__ = ["EcrRegistry", "credential", "ecr_client", "forget"]

PUBLIC = "public.ecr.aws"
EARLY = 3600.0
"""Seconds before its end at which a password is no longer used: a large upload that has begun goes on with it."""
SHORTEST = 60.0
"""Seconds for which a password is used whatever its end: where this machine's clock is wrong, not each request asks."""
NOBODY_FOR = 60.0
"""Seconds for which it is believed that this environment is nobody at AWS."""

_HOST = re.compile(
    r"(?P<account>[0-9]{12})\.dkr(?P<joint>[.-])ecr(?P<fips>-fips)?\.(?P<region>[a-z0-9-]+)"
    r"\.(?:amazonaws\.com(?:\.cn)?|on\.aws)\Z"
)
_FORMS = "it is written ACCOUNT.dkr.ecr.REGION.amazonaws.com, where ACCOUNT has 12 digits"

CLIENT_LIFETIME = 300.0
"""Seconds for which a client is used: a role is assumed once for all that one promotion asks, and keys may change."""

_passwords = Expiring()
_clients = Expiring()


class EcrRegistry(NamedTuple):
    """What the host of a registry says."""

    host: str
    account: str = ""
    """Empty for ECR Public."""
    region: str = "us-east-1"
    fips: bool = False
    dual_stack: bool = False

    @classmethod
    def parse(cls, host: str) -> EcrRegistry:
        """Read a host; raises `ConfigError` when it is none of ECR's."""
        name = host.lower().partition(":")[0]
        if name == PUBLIC:
            return cls(host)
        match = _HOST.match(name)
        if match is None:
            raise ConfigError(f"{host} is no registry of Amazon ECR", hint=_FORMS)
        return cls(host, match["account"], match["region"], bool(match["fips"]), match["joint"] == "-")

    @property
    def api(self) -> tuple[str, str, bool, bool]:
        """What registries have in common that one API serves."""
        return self.service, self.region, self.fips, self.dual_stack

    @property
    def is_public(self) -> bool:
        return not self.account

    @property
    def service(self) -> str:
        return "ecr-public" if self.is_public else "ecr"


def credential(registry: str, env: Mapping[str, str], role: str) -> Credential:
    """The password of a registry, see `clouds.Provider`."""
    where = EcrRegistry.parse(registry)
    return _passwords.get((where.api, role, aws.identity(env)), lambda: _ask(where, env, role))


def ecr_client(where: EcrRegistry, env: Mapping[str, str], role: str, action: str) -> Any | None:
    """A client of the registry's API, as this role where one is given; None when this environment is nobody.

    ``action`` is what for. Raises what `aws.calling` does.
    """

    def make() -> tuple[Any | None, float]:
        client = _client(where, env, role, action)
        return client, time.time() + (NOBODY_FOR if client is None else CLIENT_LIFETIME)

    return _clients.get((where.api, role, aws.identity(env)), make)


def _client(where: EcrRegistry, env: Mapping[str, str], role: str, action: str) -> Any | None:
    with aws.calling(where.host, action):
        session = aws.find_session(env)
    if session is None:
        return None
    if role:
        with aws.calling(f"{where.host}, as {role}", "sts:AssumeRole"):
            session = aws.assume(session, role, where.region, env)
    with aws.calling(where.host, action):
        return aws.client(session, where.service, where.region, env, fips=where.fips, dual_stack=where.dual_stack)


def forget() -> None:
    """Ask anew for everything."""
    _passwords.forget()
    _clients.forget()


def _ask(where: EcrRegistry, env: Mapping[str, str], role: str) -> tuple[Credential, float]:
    action = f"{where.service}:GetAuthorizationToken"
    ecr = ecr_client(where, env, role, action)
    if ecr is None:
        raise aws.no_credentials(where.host, action)
    with aws.calling(where.host, action):
        answer = ecr.get_authorization_token()
    try:
        given = answer["authorizationData"]
        return _read(given if where.is_public else given[0])
    except (KeyError, IndexError, ValueError):
        hint = "check AWS_ENDPOINT_URL, and the proxies"
        raise TransportError(f"{where.host}: what answers {action} gives no password", hint=hint) from None


def _read(given: Mapping[str, Any]) -> tuple[Credential, float]:
    from base64 import b64decode

    username, _, password = b64decode(given["authorizationToken"]).decode().partition(":")
    end: float = given["expiresAt"].timestamp()
    soon = time.time() + SHORTEST * 4 / 3  # of what lives shortly, `Expiring` takes a quarter off
    return Credential(username, Secret(password)), max(end - EARLY + LONGEST_MARGIN, soon)
