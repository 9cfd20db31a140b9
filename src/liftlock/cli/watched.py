"""How what happens to a release is written as it happens: a line each, for people or as ndjson."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

from liftlock.cli.invocation import Invocation
from liftlock.cli.output import bytes_text, document, printable

if TYPE_CHECKING:
    from liftlock.store.events import Seen

__all__ = ["told"]


def told(invocation: Invocation) -> Callable[[Seen, str], None]:
    """Tells each event with its stage: as ndjson on stdout, as text on stderr; not to who reads one JSON document."""

    def on_seen(seen: Seen, stage: str) -> None:
        if invocation.output == "ndjson":
            document(
                "Event",
                {
                    "id": seen.id,
                    "promotion": seen.promotion,
                    "stage": stage,
                    "attempt": seen.attempt,
                    "at": seen.at.isoformat(),
                    "event": seen.kind,
                    **seen.data,
                },
                compact=True,
            )
            sys.stdout.flush()
        elif invocation.output == "text" and (text := _text(seen)):
            sys.stderr.write(f"{seen.at:%H:%M:%S} {stage}: {printable(text)}\n")
            sys.stderr.flush()

    return on_seen


def _text(seen: Seen) -> str:
    data = seen.data
    if seen.kind == "state":
        reason = f": {data['reason']}" if data.get("reason") else ""
        return f"{data['state']}{reason}"
    if seen.kind == "progress":
        return f"{data['image']}: {bytes_text(data['done'])} of {bytes_text(data['total'])}"
    if seen.kind in ("tag", "note"):
        return f"{seen.kind} {data['subject']}"
    return ""
