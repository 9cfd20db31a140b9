"""Which notifiers there are."""

from __future__ import annotations

from liftlock.kinds.table import Table
from liftlock.notify.base import Notifier

__all__ = ["NOTIFIERS"]

NOTIFIERS: Table[Notifier] = Table(
    "liftlock.notify",
    {
        "apprise": "liftlock.notify.apprise:Apprise",
        "command": "liftlock.notify.command:Command",
        "git": "liftlock.notify.git:Git",
        "kubernetes": "liftlock.notify.kubernetes:Kubernetes",
        "registry-push": "liftlock.notify.registry_push:RegistryPush",
        "webhook": "liftlock.notify.webhook:Webhook",
    },
)
"""The kinds of notifiers by name; outside ones come through the entry points ``liftlock.notify``."""
