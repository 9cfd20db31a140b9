"""Liftlock notifications through ntfy (https://docs.ntfy.sh/publish/)."""

from typing import ClassVar

from pydantic import Field

from liftlock.auth.secret import Secret
from liftlock.kinds.http import Call, call
from liftlock.kinds.tools import Tools
from liftlock.notify import text
from liftlock.notify.base import Message
from liftlock.pipeline.kinds import Duration, Options, SecretReference, SecretText
from liftlock.release.durations import seconds

PRIORITIES = {"failure": "high", "approval-needed": "high"}


class NtfyOptions(Options):
    """Which topic, and how to get in."""

    shorthand = "url"

    url: SecretText = Field(description="The topic's URL: who knows it can read it.")
    token: SecretReference | None = Field(default=None, description="An access token of the server.")
    timeout: Duration = Field(default="30s", description="How long it may take.")
    allow_private: bool = Field(default=False, alias="allow-private", description="Whether the server may be private.")


class Ntfy:
    """Publishes the message in words; ``X-Sequence-ID`` lets ntfy (2.16 and later) show one that came twice once."""

    api_version: ClassVar[int] = 1
    options = NtfyOptions

    def send(self, message: Message, options: NtfyOptions, tools: Tools) -> None:
        headers = {
            "Title": text.title(message),
            "Priority": PRIORITIES.get(message.occasion, "default"),
            "Tags": message.occasion,
            "X-Sequence-ID": message.key,
        }
        secrets = {name: Secret(value) for name, value in headers.items()}
        if options.token:
            secrets["Authorization"] = Secret(f"Bearer {tools.secret(options.token).reveal()}")
        call(
            Call(
                method="POST",
                url=tools.secret(options.url),
                headers=secrets,
                body=text.body(message).encode(),
                timeout=seconds(options.timeout),
                allow_private=options.allow_private,
            ),
            tools,
        ).require_success()
