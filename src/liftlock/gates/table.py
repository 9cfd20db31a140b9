"""Which kinds of gates there are: those that come with Liftlock, and those of other packages."""

from __future__ import annotations

from liftlock.gates.base import Gate
from liftlock.kinds.table import Table

__all__ = ["GATES"]

GATES: Table[Gate] = Table(
    "liftlock.gates",
    {
        "command": "liftlock.gates.command:Command",
        "expression": "liftlock.gates.expression:Expression",
        "http": "liftlock.gates.http:Http",
        "labels": "liftlock.gates.labels:Labels",
        "soak": "liftlock.gates.soak:Soak",
    },
)
"""Found by name; ``liftlock.gates`` is the group of entry points by which a package adds its own."""
