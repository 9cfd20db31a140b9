"""Systems Manager and Secrets Manager, asked through botocore, which is loaded when the first question comes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from liftlock.auth.aws import calling, client, find_session, no_credentials
from liftlock.auth.secret import Secret
from liftlock.errors import ConfigError, NotFound

__all__ = ["Aws"]


class Aws:
    """`liftlock.ci.buildspec.surroundings.Lookups` with the credentials of this environment."""

    def __init__(self, *, region: str = "", environment: Mapping[str, str]) -> None:
        """``region``: empty for that of the environment."""
        self._region = region
        self._environment = environment
        self._clients: dict[str, Any] = {}

    def parameter(self, name: str) -> Secret:
        # In the plural, as CodeBuild does: that is what its roles are allowed to do.
        place, action = f"parameter {name}", "ssm:GetParameters"
        with calling(place, action):
            asked = self._client("ssm", place, action)
            found = asked.get_parameters(Names=[name], WithDecryption=True)["Parameters"]
        if not found:
            raise NotFound(f"{place}: {action} finds none in {asked.meta.region_name}", hint=_ELSEWHERE)
        return Secret(found[0]["Value"])

    def secret(self, id: str, key: str, stage: str, version: str) -> Secret:  # noqa: A002 - AWS's word
        place, action = f"secret {id}", "secretsmanager:GetSecretValue"
        which = {name: value for name, value in (("VersionStage", stage), ("VersionId", version)) if value}
        with calling(place, action):
            asked = self._client("secretsmanager", place, action)
            try:
                answer = asked.get_secret_value(SecretId=id, **which)
            except asked.exceptions.ResourceNotFoundException:
                what = f"finds no version {stage or version} of it" if which else "finds none"
                raise NotFound(f"{place}: {action} {what} in {asked.meta.region_name}", hint=_ELSEWHERE) from None
        if "SecretString" not in answer:
            raise ConfigError(f"{place} is binary, and a variable holds text", hint="store it as text")
        text = str(answer["SecretString"])
        return Secret(_value(text, key, place) if key else text)

    def _client(self, service: str, place: str, action: str) -> Any:
        if service not in self._clients:
            session = find_session(self._environment)
            if session is None:
                raise no_credentials(place, action)
            named = self._environment.get("AWS_REGION") or self._environment.get("AWS_DEFAULT_REGION")
            region = self._region or named or session.get_config_variable("region")
            if not region:
                raise ConfigError(f"{place}: cannot call {action}: no region is known", hint="set AWS_REGION")
            self._clients[service] = client(session, service, region, self._environment)
        return self._clients[service]


_ELSEWHERE = "is it in this region, and in the account of these credentials?"


def _value(text: str, key: str, place: str) -> str:
    """The value of a key of a secret that is a JSON object."""
    try:
        content = json.loads(text)
    except ValueError:
        content = None
    if not isinstance(content, dict):
        # Without what the reader of JSON has to say, which quotes the secret.
        raise ConfigError(f"{place} is no JSON object, and the key {key!r} of it is wanted", hint="remove the key")
    if key not in content:
        raise NotFound(f"{place} has no key {key!r}")
    value = content[key]
    return value if isinstance(value, str) else json.dumps(value)
