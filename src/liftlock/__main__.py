"""`python -m liftlock` is the same as the command `liftlock`."""

from __future__ import annotations

from liftlock.cli import main

main()
