"""The entry point of ``liftlock-docker``."""

from __future__ import annotations

__all__ = ["main"]


def main() -> None:
    """Run Docker's command line."""
    raise SystemExit("liftlock-docker: not built yet")


if __name__ == "__main__":
    main()
