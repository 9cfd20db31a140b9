"""Amazon's control plane, played by moto in a process of its own. It has no registry's data plane: that is Debian's
docker-registry behind ``LIFTLOCK_ENDPOINTS``, with the password that moto's ECR gives out.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

ACCOUNT = "123456789012"
"""moto's own account: whose everything is that no role was assumed for."""
REGION = "eu-west-1"

_LISTENS = re.compile(r"Running on http://127\.0\.0\.1:(\d+)")


class Moto:
    """moto's server on a free port of loopback; `env` makes the AWS command line and boto3 talk to it."""

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", "0"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            # Its own account is the default one: said here, it would be everybody's, whatever role is assumed.
            env={name: value for name, value in os.environ.items() if name != "MOTO_ACCOUNT_ID"},
        )
        assert self._process.stderr is not None
        found = next(filter(None, map(_LISTENS.search, self._process.stderr)), None)
        assert found is not None, "moto does not start"
        self.url = f"http://127.0.0.1:{found[1]}"
        # It writes a line for each request, and would wait for a reader.
        self._drain = threading.Thread(target=self._process.stderr.read, name="moto-log")
        self._drain.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait()
        self._drain.join()
        assert self._process.stderr is not None
        self._process.stderr.close()

    @property
    def env(self) -> Mapping[str, str]:
        """Variables of the AWS tools: this endpoint, keys that moto does not look at, and a region."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE",
            "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
            "AWS_DEFAULT_REGION": REGION,
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_PAGER": "",
        }

    def client(self, service: str) -> Any:
        """boto3's client of a service."""
        import boto3

        env = self.env
        return boto3.session.Session(
            aws_access_key_id=env["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=env["AWS_SECRET_ACCESS_KEY"],
            region_name=REGION,
        ).client(service, endpoint_url=self.url)


def registry_password(account: str = ACCOUNT) -> str:
    """The password that moto's ECR gives out, with the user ``AWS``: give it to a `Registry` that plays ECR."""
    return f"{account}-auth-token"


def ecr_host(account: str = ACCOUNT, region: str = REGION) -> str:
    """The host of an account's registry."""
    return f"{account}.dkr.ecr.{region}.amazonaws.com"
