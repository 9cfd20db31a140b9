"""``webhook``: a signed POST, as Standard Webhooks has it, so that ready-made libraries verify it.

Source: https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import time
from collections.abc import Sequence
from typing import ClassVar

from pydantic import Field

from liftlock.auth.secret import Secret
from liftlock.errors import ConfigError
from liftlock.kinds.options import WebUrl
from liftlock.kinds.tools import Tools
from liftlock.notify.base import Message
from liftlock.notify.options import Timeout
from liftlock.pipeline.kinds import Options, SecretReference, SecretText
from liftlock.release.durations import seconds

__all__ = ["Webhook", "WebhookOptions", "sign"]

SECRET_PREFIX = "whsec_"
"""What a secret begins with whose rest is the key in base64; any other secret is the key itself, as UTF-8."""


class WebhookOptions(Options):
    """Where to, and signed with what."""

    shorthand = "url"

    url: WebUrl = Field(description="Where to POST. A user name and password in it are sent as Basic authorization.")
    secret: SecretReference | list[SecretReference] = Field(
        default=[], description="What to sign with; several while it is being changed. Without one nothing is signed."
    )
    headers: dict[str, SecretText] = Field(default={}, description="Further header fields.")
    timeout: Timeout = Field(default="30s", description="How long everything may take.")
    allow_private: bool = Field(
        default=False, alias="allow-private", description="Whether it may lead to a private or loopback address."
    )


class Webhook:
    """POSTs `Message.to_json`. The id that receivers know it by is the message's key, the same in every try."""

    api_version: ClassVar[int] = 1
    options = WebhookOptions

    def send(self, message: Message, options: WebhookOptions, tools: Tools) -> None:
        from liftlock.kinds.http import Call, call

        body = json.dumps(message.to_json(), ensure_ascii=False, separators=(",", ":")).encode()
        written = [options.secret] if isinstance(options.secret, str) else options.secret
        now = int(time.time())  # when it is sent, not when it happened: receivers refuse what is minutes old
        headers = {name.lower(): tools.secret(value) for name, value in options.headers.items()}
        headers |= {
            "content-type": Secret("application/json"),
            "idempotency-key": Secret(message.key),
            "webhook-id": Secret(message.key),
            "webhook-timestamp": Secret(str(now)),
        }
        if written:
            secrets = [tools.secret(text) for text in written]
            headers["webhook-signature"] = Secret(sign(secrets, key=message.key, at=now, body=body))
        call(
            Call(
                method="POST",
                url=tools.secret(options.url),
                headers=headers,
                body=body,
                timeout=seconds(options.timeout),
                allow_private=options.allow_private,
            ),
            tools,
        ).require_success()


def sign(secrets: Sequence[Secret], *, key: str, at: int, body: bytes) -> str:
    """The value of ``webhook-signature``: one ``v1`` signature for each secret. ``at`` is in seconds since the epoch.

    Raises `ConfigError` for a ``whsec_`` secret that is not base64.
    """
    signed = f"{key}.{at}.".encode() + body
    digests = (hmac.new(_key(secret), signed, hashlib.sha256).digest() for secret in secrets)
    return " ".join(f"v1,{base64.b64encode(digest).decode()}" for digest in digests)


def _key(secret: Secret) -> bytes:
    text = secret.reveal()
    if not text.startswith(SECRET_PREFIX):
        return text.encode()
    try:
        return base64.b64decode(text.removeprefix(SECRET_PREFIX), validate=True)
    except binascii.Error:
        pass  # whose message would be of the secret
    raise ConfigError(
        "the webhook's secret begins with whsec_ and goes on with what is not base64", hint="copy it again, whole"
    )
