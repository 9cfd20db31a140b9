"""How far a rollout is, as ``kubectl rollout status`` tells it from an object's status.

Source: https://github.com/kubernetes/kubectl/blob/master/pkg/polymorphichelpers/rollout_status.go
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["KINDS", "Progress", "progress"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a rollout is."""

    done: bool = False
    failed: bool = False
    """Whether the cluster itself has given it up."""
    said: str = ""


def progress(workload: Mapping[str, Any]) -> Progress:
    """How far the rollout of a Deployment, StatefulSet or DaemonSet is."""
    status = workload.get("status") or {}
    if int(status.get("observedGeneration") or 0) < int(workload["metadata"].get("generation") or 0):
        return Progress(said="the cluster has not looked at it yet")
    return KINDS[workload["kind"]](workload.get("spec") or {}, status)


def _deployment(spec: Mapping[str, Any], status: Mapping[str, Any]) -> Progress:
    for condition in status.get("conditions") or []:
        if condition.get("type") == "Progressing" and condition.get("reason") == "ProgressDeadlineExceeded":
            return Progress(failed=True, said="it makes no progress (ProgressDeadlineExceeded)")
    wanted = _replicas(spec)
    updated, available = _count(status, "updatedReplicas"), _count(status, "availableReplicas")
    if updated < wanted:
        return Progress(said=f"{updated} of {wanted} replicas are updated")
    if _count(status, "replicas") > updated:
        return Progress(said=f"{_count(status, 'replicas') - updated} old replicas are still there")
    return Progress(done=available >= updated, said=f"{available} of {updated} updated replicas are available")


def _stateful_set(spec: Mapping[str, Any], status: Mapping[str, Any]) -> Progress:
    strategy = spec.get("updateStrategy") or {}
    if strategy.get("type") == "OnDelete":
        return Progress(done=True)  # its pods are changed by whoever deletes them
    wanted, ready = _replicas(spec), _count(status, "readyReplicas")
    if ready < wanted:
        return Progress(said=f"{ready} of {wanted} replicas are ready")
    partition = int((strategy.get("rollingUpdate") or {}).get("partition") or 0)
    updated = _count(status, "updatedReplicas")
    if partition:
        moving = max(0, wanted - partition)
        return Progress(done=updated >= moving, said=f"{updated} of {moving} replicas are updated")
    return Progress(
        done=status.get("updateRevision") == status.get("currentRevision"),
        said=f"{updated} of {wanted} replicas are updated",
    )


def _daemon_set(spec: Mapping[str, Any], status: Mapping[str, Any]) -> Progress:
    if (spec.get("updateStrategy") or {}).get("type") == "OnDelete":
        return Progress(done=True)
    wanted = _count(status, "desiredNumberScheduled")
    updated, available = _count(status, "updatedNumberScheduled"), _count(status, "numberAvailable")
    if updated < wanted:
        return Progress(said=f"{updated} of {wanted} nodes are updated")
    return Progress(done=available >= wanted, said=f"{available} of {wanted} updated pods are available")


KINDS = {"Deployment": _deployment, "StatefulSet": _stateful_set, "DaemonSet": _daemon_set}
"""The kinds of workloads that roll out, and how far one of each is."""


def _replicas(spec: Mapping[str, Any]) -> int:
    found = spec.get("replicas")
    return 1 if found is None else int(found)


def _count(status: Mapping[str, Any], key: str) -> int:
    return int(status.get(key) or 0)
