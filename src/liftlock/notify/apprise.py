"""``apprise``: chat and e-mail, through the apprise library and the more than a hundred services it knows.

The library runs in a process of its own: its URLs are secrets that it and the libraries below it write to logs, and
some services cannot be hurried. So nothing of it is in the worker's logs, and a deadline ends whatever it does.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import Annotated, ClassVar

from pydantic import Field

from liftlock.auth.secret import Secret
from liftlock.errors import ConfigError, TransportError
from liftlock.kinds.tools import Tools
from liftlock.notify import text
from liftlock.notify.base import Message
from liftlock.notify.fill import Fillable, fill
from liftlock.notify.options import Timeout
from liftlock.pipeline.kinds import Options, SecretReference
from liftlock.release.durations import seconds

__all__ = ["Apprise", "AppriseOptions"]

_NAMES = ("body", "occasion", "pipeline", "promotion", "reason", "release", "stage", "state", "title")

_Text = Annotated[str, Field(min_length=1), Fillable(*_NAMES)]


class AppriseOptions(Options):
    """Whom to tell, and in which words."""

    shorthand = "urls"

    urls: SecretReference | Annotated[list[SecretReference], Field(min_length=1)] = Field(
        description="One or more apprise URLs (https://github.com/caronc/apprise/wiki); most hold a password."
    )
    title: _Text = Field(default="{title}", description=f"The title. May have {', '.join(f'{{{n}}}' for n in _NAMES)}.")
    body: _Text = Field(default="{body}", description="The text, with the same variables.")
    timeout: Timeout = Field(default="1m", description="How long everything may take.")


class Apprise:
    """Sends a message in words. One service that does not take it means another try, for all of them."""

    api_version: ClassVar[int] = 1
    options = AppriseOptions

    def send(self, message: Message, options: AppriseOptions, tools: Tools) -> None:
        from liftlock.kinds.process import run

        _require_library()
        written = [options.urls] if isinstance(options.urls, str) else options.urls
        urls = [tools.secret(url) for url in written]
        values = _values(message)
        given = {
            "urls": [url.reveal() for url in urls],
            "title": fill(options.title, values),
            "body": fill(options.body, values),
        }
        done = run(
            # -P: what lies in the pipeline file's folder is not imported.
            [sys.executable, "-P", "-m", "liftlock.notify.apprise_sender"],
            tools,
            timeout=seconds(options.timeout),
            stdin=json.dumps(given).encode(),
        )
        try:
            outcomes = json.loads(done.output)
        except ValueError:
            outcomes = None
        if done.status != 0 or not isinstance(outcomes, list):
            # What it wrote on its way out is not shown: a traceback holds the URL.
            raise TransportError(f"apprise ended with status {done.status} and no answer")
        _require_sent(urls, outcomes)


def _require_library() -> None:
    from importlib.util import find_spec

    if find_spec("apprise") is None:
        raise ConfigError(
            "the apprise library is not installed", hint="pip install 'liftlock[notify]', where the worker runs"
        )


def _values(message: Message) -> dict[str, str]:
    return {
        "body": text.body(message),
        "occasion": message.occasion,
        "pipeline": message.release.pipeline.name,
        "promotion": str(message.promotion),
        "reason": message.reason,
        "release": message.release.name,
        "stage": message.stage,
        "state": message.state,
        "title": text.title(message),
    }


def _require_sent(urls: Sequence[Secret], outcomes: Sequence[str]) -> None:
    """Raise when a URL is none (final), or its service did not take the message (temporary)."""
    unknown = [number for number, outcome in enumerate(outcomes, start=1) if outcome == "unknown"]
    if unknown:
        raise ConfigError(
            f"apprise does not understand the URL number {', '.join(map(str, unknown))} of {len(urls)}",
            hint="its forms are at https://github.com/caronc/apprise/wiki",
        )
    failed = [_service(url) for url, outcome in zip(urls, outcomes, strict=True) if outcome != "sent"]
    if failed:
        raise TransportError(f"apprise could not deliver it through {', '.join(failed)}")


def _service(url: Secret) -> str:
    """The URL's scheme: all of it that may be shown."""
    return url.reveal().partition("://")[0][:20]
