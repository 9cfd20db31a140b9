"""`python -m liftlock` is the same as the command `liftlock`."""

from __future__ import annotations

import sys

from liftlock.cli import main

sys.exit(main())
