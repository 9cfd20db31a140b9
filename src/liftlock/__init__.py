"""Liftlock promotes container images from build to production, proven to be the same image at every level.

Nothing is imported here on purpose: `liftlock.oci`, `liftlock.targets` and `liftlock.transfer` can be used alone, and
`liftlock --help` has to start fast. What may import what is written in `docs/architecture.md` and kept by
import-linter (`pyproject.toml`).
"""

__version__ = "0.1.0"
