"""The process that the apprise library runs in: ``{urls, title, body}`` on its input, an outcome for each URL out."""

from __future__ import annotations

import json
import sys
from typing import Any

__all__ = ["main"]


def main() -> None:
    """Send to each URL in turn; an outcome is ``sent``, ``failed``, or ``unknown`` for what is no apprise URL."""
    import apprise

    given: Any = json.load(sys.stdin)
    services = []
    for url in given["urls"]:
        service = apprise.Apprise()
        services.append(service if service.add(url) else None)
    if None in services:
        outcomes = ["unknown" if service is None else "failed" for service in services]  # and nothing is sent at all
    else:
        outcomes = [
            "sent" if service.notify(body=given["body"], title=given["title"], body_format="text") else "failed"
            for service in services
            if service is not None
        ]
    json.dump(outcomes, sys.stdout)


if __name__ == "__main__":
    main()
