"""Which notifiers there are."""

from __future__ import annotations

from liftlock.kinds.table import Table
from liftlock.notify.base import Notifier

__all__ = ["NOTIFIERS"]

NOTIFIERS: Table[Notifier] = Table(
    "liftlock.notify",
    {
        "app-service": "liftlock.notify.app_service:AppService",
        "apprise": "liftlock.notify.apprise:Apprise",
        "command": "liftlock.notify.command:Command",
        "container-apps": "liftlock.notify.container_apps:ContainerApps",
        "container-instances": "liftlock.notify.container_instances:ContainerInstances",
        "git": "liftlock.notify.git:Git",
        "kubernetes": "liftlock.notify.kubernetes:Kubernetes",
        "registry-push": "liftlock.notify.registry_push:RegistryPush",
        "webhook": "liftlock.notify.webhook:Webhook",
    },
)
"""The kinds of notifiers by name; outside ones come through the entry points ``liftlock.notify``."""
