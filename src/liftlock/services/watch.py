"""Following a whole release: each of its promotions that is open, and those that follow by themselves."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from liftlock.errors import Cancelled, LiftlockError, WaitRanOut
from liftlock.release.release import Release
from liftlock.services.follow import Follower, Stop, settled, until
from liftlock.services.project import OpenImages, Project
from liftlock.services.promote import Wait, unsuccessful
from liftlock.services.standing import Standing, standing
from liftlock.store.events import Seen
from liftlock.transfer.events import Cancel

__all__ = ["require_success", "watch"]


def watch(
    project: Project,
    images: OpenImages,
    release: Release,
    *,
    wait: Wait,
    on_seen: Callable[[Seen, str], None],
    cancel: Cancel,
) -> tuple[Standing, ...]:
    """Follow what is open of a release, in the order it was asked for, and tell each event with its stage.

    Ends when nothing is open any more; without ``wait.people`` already when nothing moves by itself. Nobody is
    stopped by its end: raises `Cancelled` when that is requested, `WaitRanOut` when the time is over.
    """
    return _Watch(project, release, wait, on_seen).run(images, cancel)


def require_success(found: Sequence[Standing]) -> None:
    """Raise why the first of them that is over has not succeeded."""
    for each in found:
        if each.promotion.over and each.promotion.succeeded is None:
            raise unsuccessful(each)


class _Watch:
    def __init__(self, project: Project, release: Release, wait: Wait, on_seen: Callable[[Seen, str], None]) -> None:
        self._project = project
        self._release = release
        self._wait = wait
        self._on_seen = on_seen
        self._followers: dict[int, Follower] = {}
        self._found: tuple[Standing, ...] = ()
        self._history: frozenset[int] | None = None
        """What was over before."""

    def run(self, images: OpenImages, cancel: Cancel) -> tuple[Standing, ...]:
        stopped = until(
            self._project, images, self._done, seconds=self._wait.seconds, cancel=cancel, give_up=lambda _: False
        )
        if stopped is not None:
            raise self._told(stopped)
        return self._found

    def _done(self) -> bool:
        with self._project.home.store.read() as tx:
            mine = tx.promotions.of_release(self._release.id)
            if self._history is None:
                self._history = frozenset(each.id for each in mine if each.over)
            for each in mine:
                if each.id not in self._history:
                    self._followers.setdefault(each.id, Follower(self._tell(each.stage), promotion=each.id))
            for follower in self._followers.values():
                follower.look(tx)
            followed = [each for each in mine if each.id in self._followers]
            self._found = tuple(standing(tx, self._release, each) for each in followed)
            return all(
                settled(tx, each, embedded=self._project.embedded) and (each.over or not self._wait.people)
                for each in followed
            )

    def _tell(self, stage: str) -> Callable[[Seen], None]:
        return lambda seen: self._on_seen(seen, stage)

    def _told(self, stopped: Stop) -> LiftlockError:
        open_ = [each.promotion.stage for each in self._found if not each.promotion.over]
        left = f"{' and '.join(open_)} go on without this command" if open_ else "nothing was under way"
        if stopped is Stop.SIGNAL:
            return Cancelled("stopped watching", hint=left)
        return WaitRanOut(f"not done within {self._wait.seconds:g} s", hint=left)
