"""How far a rollout is: the cases of ``kubectl rollout status``."""

from __future__ import annotations

from typing import Any

import pytest

from liftlock.notify.kubernetes_rollout import Progress, progress

LATE = {"type": "Progressing", "reason": "ProgressDeadlineExceeded"}


def counted(*numbers: int) -> dict[str, int]:
    return dict(zip(("replicas", "updatedReplicas", "availableReplicas"), numbers, strict=True))


def revisions(ready: int, updated: int, *, same: bool) -> dict[str, Any]:
    current = "b" if same else "a"
    return {
        "readyReplicas": ready,
        "updatedReplicas": updated,
        "currentRevision": current,
        "updateRevision": "b",
    }


def nodes(wanted: int, updated: int, available: int) -> dict[str, int]:
    return {
        "desiredNumberScheduled": wanted,
        "updatedNumberScheduled": updated,
        "numberAvailable": available,
    }


PARTITION = {"replicas": 3, "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 2}}}
BY_HAND = {"updateStrategy": {"type": "OnDelete"}}


@pytest.mark.parametrize(
    ("kind", "spec", "status", "done", "said"),
    [
        ("Deployment", {"replicas": 3}, counted(3, 1, 3), False, "1 of 3 replicas are updated"),
        ("Deployment", {"replicas": 3}, counted(5, 3, 5), False, "2 old replicas are still there"),
        ("Deployment", {"replicas": 3}, counted(3, 3, 2), False, "2 of 3 updated replicas are available"),
        ("Deployment", {"replicas": 3}, counted(3, 3, 3), True, ""),
        ("Deployment", {"replicas": 0}, {}, True, ""),
        ("Deployment", {}, {}, False, "0 of 1 replicas are updated"),
        ("Deployment", {}, {"conditions": [{"type": "Available"}]}, False, "0 of 1 replicas are updated"),
        ("StatefulSet", {"replicas": 2}, revisions(1, 2, same=True), False, "1 of 2 replicas are ready"),
        ("StatefulSet", {"replicas": 2}, revisions(2, 1, same=False), False, "1 of 2 replicas are updated"),
        ("StatefulSet", {"replicas": 2}, revisions(2, 2, same=True), True, ""),
        ("StatefulSet", PARTITION, revisions(3, 0, same=False), False, "0 of 1 replicas are updated"),
        ("StatefulSet", PARTITION, revisions(3, 1, same=False), True, ""),
        ("StatefulSet", BY_HAND, {}, True, ""),
        ("DaemonSet", {}, nodes(2, 1, 1), False, "1 of 2 nodes are updated"),
        ("DaemonSet", {}, nodes(2, 2, 1), False, "1 of 2 updated pods are available"),
        ("DaemonSet", {}, nodes(2, 2, 2), True, ""),
        ("DaemonSet", BY_HAND, nodes(2, 0, 0), True, ""),
    ],
)
def test_how_far_it_is(kind: str, spec: dict[str, Any], status: dict[str, Any], *, done: bool, said: str) -> None:
    workload = {
        "kind": kind,
        "metadata": {"generation": 4},
        "spec": spec,
        "status": {"observedGeneration": 4, **status},
    }
    now = progress(workload)

    assert (now.done, now.failed) == (done, False)
    assert done or now.said == said


def test_what_the_cluster_has_not_looked_at_is_not_done() -> None:
    status = {"observedGeneration": 3, **counted(1, 1, 1)}
    workload = {"kind": "Deployment", "metadata": {"generation": 4}, "spec": {}, "status": status}

    assert not progress(workload).done


def test_what_the_cluster_gave_up_has_failed() -> None:
    status = {"observedGeneration": 4, **counted(2, 1, 1), "conditions": [LATE]}
    workload = {"kind": "Deployment", "metadata": {"generation": 4}, "spec": {}, "status": status}

    assert progress(workload) == Progress(failed=True, said="it makes no progress (ProgressDeadlineExceeded)")
