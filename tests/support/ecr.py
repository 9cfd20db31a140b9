"""Amazon ECR's data plane, as a double: Debian's docker-registry, and before it what ECR refuses and it does not.

docker-registry makes repositories by itself and lets every tag be moved. What repositories there are, and whose tags
are immutable, is asked of moto's ECR; the answers are those that ECR gave others: 404 ``NAME_UNKNOWN``
(plexsystems/sinker#55), 400 ``TAG_INVALID`` (moby/buildkit#3776). Nothing else of ECR is imitated.
"""

from __future__ import annotations

import re
from types import TracebackType
from typing import Any, Self

from tests.support import faults, remote
from tests.support.aws import ACCOUNT, REGION, Moto, ecr_host, registry_password
from tests.support.front import Exchange, Front
from tests.support.registry import Registry

_PATH = re.compile(r"/v2/(?P<repository>.+?)/(?:blobs|manifests|tags|referrers)/(?P<rest>.*)")


class Ecr:
    """The registry of one account and region. `registry` holds what is pushed, `front` sees each request."""

    def __init__(self, moto: Moto, account: str = ACCOUNT, region: str = REGION) -> None:
        self.host = ecr_host(account, region)
        self.account = account
        self.registry = Registry(user="AWS", password=registry_password(account))
        self.front = Front(self.registry)
        self.api = _api(moto, account, region)
        self.front.rule(None, r"^/v2/.+", self._act, times=None)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.front.stop()
        self.registry.stop()

    @property
    def endpoint(self) -> str:
        """For ``LIFTLOCK_ENDPOINTS``."""
        return f"{self.host}={self.front.url}"

    def repository(self, name: str) -> Any | None:
        """What the API says of a repository; None when there is none."""
        try:
            return self.api.describe_repositories(repositoryNames=[name])["repositories"][0]
        except self.api.exceptions.RepositoryNotFoundException:
            return None

    def _act(self, exchange: Exchange) -> None:
        path = _PATH.match(exchange.request.path)
        if path is None or exchange.request.authorization is None:
            exchange.relay(exchange.forward())
            return
        name = path["repository"]
        found = self.repository(name)
        if found is None:
            said = f"The repository with name '{name}' does not exist in the registry with id '{self.account}'"
            faults.error(404, "NAME_UNKNOWN", said)(exchange)
        elif self._is_taken(exchange, found, path["rest"]):
            said = (
                f"The image tag '{path['rest']}' already exists in the '{name}' repository and cannot be overwritten "
                "because the repository is immutable."
            )
            faults.error(400, "TAG_INVALID", said)(exchange)
        else:
            exchange.relay(exchange.forward())

    def _is_taken(self, exchange: Exchange, repository: Any, tag: str) -> bool:
        if exchange.request.method != "PUT" or "/manifests/" not in exchange.request.path or ":" in tag:
            return False
        if repository["imageTagMutability"] != "IMMUTABLE":
            return False
        return remote.digest_of(self.registry, repository["repositoryName"], tag) is not None


def _api(moto: Moto, account: str, region: str) -> Any:
    import boto3

    keys = moto.env
    api = boto3.session.Session(
        aws_access_key_id=keys["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=keys["AWS_SECRET_ACCESS_KEY"],
        region_name=region,
    ).client("ecr", endpoint_url=moto.url)
    # moto's own header: it takes it for the account's number (docs.getmoto.org, "Multi-Account support").
    api.meta.events.register(
        "before-sign.ecr", lambda request, **_: request.headers.add_header("x-moto-account-id", account)
    )
    return api
