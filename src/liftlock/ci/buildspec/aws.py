"""Systems Manager and Secrets Manager, asked through boto3, which is loaded when the first question comes."""

from __future__ import annotations

from collections.abc import Mapping

from liftlock.auth.secret import Secret
from liftlock.errors import ConfigError

__all__ = ["Aws"]


class Aws:
    """`liftlock.ci.buildspec.surroundings.Lookups` with the credentials of this environment."""

    def __init__(self, *, region: str = "", environment: Mapping[str, str]) -> None:
        """``region``: empty for that of the environment."""
        self._region = region
        self._environment = environment

    def parameter(self, name: str) -> Secret:
        raise ConfigError(f"ssm:GetParameter {name}: not asked yet", hint=self._region)

    def secret(self, id: str, key: str, stage: str, version: str) -> Secret:  # noqa: A002 - AWS's word
        raise ConfigError(f"secretsmanager:GetSecretValue {id}: not asked yet", hint=f"{key}{stage}{version}")
