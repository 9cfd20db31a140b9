"""What the hosts of Azure have in common: resources behind Azure Resource Manager, and changes that take a while.

Sources: https://learn.microsoft.com/azure/azure-resource-manager/management/async-operations,
https://learn.microsoft.com/rest/api/azure/.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import AfterValidator, Field

from liftlock.auth.secret import Secret
from liftlock.errors import LiftlockError, TransportError
from liftlock.kinds.http import Answer
from liftlock.kinds.tools import Tools
from liftlock.notify.json_api import Api, parsed
from liftlock.transport.retry import retry_after
from liftlock.transport.urls import split_url

__all__ = ["ENDPOINT", "AllowPrivate", "Resource", "ResourceId", "of_type", "open_resource"]

ENDPOINT = "AZURE_RESOURCE_MANAGER_ENDPOINT"
"""The variable with Resource Manager's URL, in clouds other than the public one."""

PUBLIC = "https://management.azure.com"

REQUEST = 60.0
"""Seconds that one request may take, however long everything may."""

PAUSE = 5.0
"""Seconds between two looks at an operation, where Azure does not say how long."""

_OVER = frozenset({"succeeded", "failed", "canceled"})

ResourceId = Annotated[
    str,
    Field(
        description="The resource's id: /subscriptions/…/resourceGroups/…/providers/…, as az … show --query id says."
    ),
]

AllowPrivate = Annotated[
    bool,
    Field(alias="allow-private", description="Whether Resource Manager may be at a private or loopback address."),
]


def of_type(kind: str) -> AfterValidator:
    """For the type of an option: refuses what is no id of such a resource, ``Microsoft.Web/sites`` say."""
    name = r"[A-Za-z0-9_().-]+"
    form = re.compile(
        rf"/subscriptions/[0-9a-f-]{{36}}/resourceGroups/{name}/providers/{re.escape(kind)}/{name}", re.IGNORECASE
    )

    def check(text: str) -> str:
        if not form.fullmatch(text):
            raise ValueError(f"write /subscriptions/ID/resourceGroups/GROUP/providers/{kind}/NAME")
        return text

    return AfterValidator(check)


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """One resource, for as long as one message takes."""

    id: str
    version: str
    """The version of the API of its type."""
    api: Api
    timeout: float
    """Seconds that everything may take."""
    deadline: float
    """When that is over, by the monotonic clock."""

    @property
    def name(self) -> str:
        """Its name, for messages."""
        return self.id.rpartition("/")[2]

    def get(self, below: str = "") -> Any:
        """The resource, or a part of it, as it is now."""
        return self.api.get(self._path(below))

    def send(self, method: str, body: Any = None, below: str = "") -> Answer:
        """Change it, or a part of it; raises as `Api.send` does."""
        return self.api.send(method, self._path(below), body)

    def settle(self, answer: Answer) -> None:
        """Wait until what an answer says has begun is over: the operation that it names, and the resource itself.

        Raises `LiftlockError` when Azure says that it failed, and `TransportError` (temporary) when it takes too long.
        """
        operation = answer.headers.get("azure-asyncoperation")
        if operation:
            self._follow(operation, answer)
        elif answer.status == 202 and answer.headers.get("location"):
            place = answer.headers.get("location")
            while answer.status == 202:
                self._pause(answer)
                answer = self.api.send("GET", self._near(place))
        self.wait()

    def wait(self) -> None:
        """Wait until nothing is done to it; raises as `settle` does."""
        while True:
            answer = self.api.send("GET", self._path(""))
            if self._is_done((parsed(answer).get("properties") or {}).get("provisioningState"), ""):
                return
            self._pause(answer)

    def _follow(self, url: str, answer: Answer) -> None:
        """Until the operation at a URL is over; ``answer`` is the last one, which may say how long to wait."""
        while True:
            self._pause(answer)
            answer = self.api.send("GET", self._near(url))
            operation = parsed(answer)
            error = operation.get("error")
            if self._is_done(operation.get("status"), str(error.get("code")) if isinstance(error, dict) else ""):
                return

    def _is_done(self, state: object, code: str) -> bool:
        """Whether a state is the last one; a resource without one has no other."""
        said = str(state or "Succeeded")
        if said.lower() not in _OVER:
            return False
        if said.lower() != "succeeded":
            reason = f" ({code})" if re.fullmatch(r"[A-Za-z]{1,64}", code) else ""
            raise LiftlockError(
                f"Azure could not bring {self.name} to its new image: {said}{reason}",
                hint="the activity log of the resource says why",
            )
        return True

    def _pause(self, answer: Answer) -> None:
        asked = retry_after(answer.headers)
        length = PAUSE if asked is None else asked
        if time.monotonic() + length > self.deadline:
            raise TransportError(f"Azure is not done with {self.name} within {self.timeout:g} s")
        self.api.pause(length)

    def _near(self, url: str) -> str:
        """A URL that Azure sent us to: nobody else gets the token."""
        base, _ = split_url(self.api.base.reveal())
        origin, _ = split_url(url)
        if (origin.scheme, origin.port) != (base.scheme, base.port) or not f".{origin.host}".endswith(f".{base.host}"):
            raise TransportError(f"{base.authority} sends us to {origin.authority}: refused", temporary=False)
        return url

    def _path(self, below: str) -> str:
        return f"{self.id}{below}?api-version={self.version}"


def open_resource(
    id: str,  # noqa: A002 - Azure's word
    version: str,
    tools: Tools,
    *,
    timeout: float,
    allow_private: bool,
    hints: Mapping[int, str],
) -> Resource:
    """A resource, as whoever this environment is in Azure; raises what `auth.azure.access_token` raises."""
    from liftlock.auth.azure import access_token

    base = tools.environment.get(ENDPOINT, "").rstrip("/") or PUBLIC
    scope = f"{base}/.default"
    name = id.rpartition("/")[2]
    return Resource(
        id=id,
        version=version,
        api=Api(
            base=Secret(base),
            token=lambda: access_token(scope, tools.environment),
            tools=tools,
            timeout=min(timeout, REQUEST),
            allow_private=allow_private,
            hints={
                401: "Azure does not take the token: is it of the subscription's tenant?",
                404: f"there is no {name}, or it may not be read: check the resource's id",
                409: f"something else is being done to {name}",
                **hints,
            },
        ),
        timeout=timeout,
        deadline=time.monotonic() + timeout,
    )
