"""Whose account and which region a run stands for: said, or of the environment, or asked of Amazon."""

from __future__ import annotations

import re
from collections.abc import Mapping

from liftlock.auth.aws import calling, client, find_session, no_credentials
from liftlock.errors import ConfigError, UsageError

__all__ = ["Cloud"]

_ACCOUNT = re.compile(r"[0-9]{12}")
_REGION = re.compile(r"[a-z]+(?:-[a-z]+)+-[0-9]+")
_PARTITIONS = (
    ("cn-", "aws-cn", "amazonaws.com.cn"),
    ("us-gov-", "aws-us-gov", "amazonaws.com"),
    ("us-iso-", "aws-iso", "c2s.ic.gov"),
    ("us-isob-", "aws-iso-b", "sc2s.sgov.gov"),
    ("eu-isoe-", "aws-iso-e", "cloud.adc-e.uk"),
    ("us-isof-", "aws-iso-f", "csp.hci.ic.gov"),
    ("eusc-", "aws-eusc", "amazonaws.eu"),
)
"""A region's beginning, partition and domain: botocore's `partitions.json`. All others are of ``aws``."""


class Cloud:
    """Answers only what it is asked: a stage that names neither account nor region needs neither."""

    def __init__(self, environment: Mapping[str, str], *, account: str = "", region: str = "") -> None:
        """``account`` and ``region`` come before the environment. Raises `UsageError` for what is neither."""
        self._environment = environment
        self._account = account or environment.get("AWS_ACCOUNT_ID", "")
        self._region = region or environment.get("AWS_REGION", "") or environment.get("AWS_DEFAULT_REGION", "")
        if self._account and not _ACCOUNT.fullmatch(self._account):
            raise UsageError(f"{self._account!r} is not an account", hint="an account of AWS has twelve digits")
        if self._region and not _REGION.fullmatch(self._region):
            raise UsageError(f"{self._region!r} is not a region", hint="a region of AWS is written like eu-west-1")

    @property
    def account(self) -> str:
        """Twelve digits; asked of STS when nothing says it. Raises `ConfigError`, `AccessDenied`, `TransportError`."""
        if not self._account:
            region = self.region
            with calling("AWS::AccountId", "sts:GetCallerIdentity"):
                session = find_session(self._environment)
                if session is None:
                    raise no_credentials("AWS::AccountId", "sts:GetCallerIdentity")
                sts = client(session, "sts", region, self._environment)
                self._account = str(sts.get_caller_identity()["Account"])
        return self._account

    @property
    def region(self) -> str:
        """The region's name; of the AWS configuration when nothing else says it. Raises `ConfigError`."""
        if not self._region:
            with calling("AWS::Region", "the AWS configuration"):
                session = find_session(self._environment)
                self._region = session.get_config_variable("region") if session is not None else ""
        if not self._region:
            raise ConfigError("AWS::Region is not known", hint="say --region, or set AWS_REGION")
        return self._region

    @property
    def known(self) -> tuple[str, str]:
        """Account and region as far as they are known without asking; empty where not."""
        return self._account, self._region

    @property
    def partition(self) -> str:
        return self._of_region()[0]

    @property
    def domain(self) -> str:
        """What ``AWS::URLSuffix`` is."""
        return self._of_region()[1]

    def _of_region(self) -> tuple[str, str]:
        for beginning, partition, domain in _PARTITIONS:
            if self.region.startswith(beginning):
                return partition, domain
        return "aws", "amazonaws.com"
