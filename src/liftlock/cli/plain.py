"""The plain forms of the commands that pipelines run all day, understood without click.

Importing click takes as long as all the rest of a small copy. So what has no options but a few flags is read here, and
only where click would read it in the same way, which tests compare; everything else, mistakes too, is left to click.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from liftlock.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from liftlock.cli.invocation import Invocation

__all__ = ["FLAGS", "read"]

FLAGS = ("--dry-run", "--no-clobber", "--no-referrers")
"""Of `copy`."""


def read(arguments: Sequence[str]) -> Callable[[Invocation], None] | None:
    """What these arguments ask for; None where that is not plain."""
    command, *words = arguments or ("",)
    names = tuple(word for word in words if command != "copy" or word not in FLAGS)
    if not all(names) or any(name.startswith("-") for name in names):
        return None
    from liftlock.cli import images

    if command == "copy" and names:
        dry_run, no_clobber, no_referrers = (flag in words for flag in FLAGS)
        return lambda invocation: images.copy(
            invocation, images=names, dry_run=dry_run, no_clobber=no_clobber, no_referrers=no_referrers
        )
    if command == "tag" and len(names) > 1:
        return lambda invocation: images.tag(invocation, names[0], names[1:])
    if command == "digest" and len(names) == 1:
        return lambda invocation: images.digest(invocation, names[0])
    return None
