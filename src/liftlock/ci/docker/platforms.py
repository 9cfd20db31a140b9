"""Platforms as docker reads them, and which image of an index is meant by one (containerd's ``platforms``)."""

from __future__ import annotations

import os

from liftlock.ci.docker import words
from liftlock.ci.docker.words import Said
from liftlock.oci.manifest import Descriptor, Manifest, Platform

__all__ = ["choose", "host", "matches", "of_host", "parse"]

_ARCHITECTURES = {"x86_64": "amd64", "x86-64": "amd64", "aarch64": "arm64", "i386": "386", "i686": "386"}
_SYSTEMS = frozenset({"linux", "windows", "darwin", "freebsd"})
_VARIANTS = {("arm", ""): "v7", ("arm64", "v8"): ""}
"""What an architecture stands for without a variant, and the variant that goes without saying."""


def host() -> Platform:
    """This machine's platform. Containers are Linux's."""
    machine = os.uname().machine
    if machine.startswith("armv"):
        return Platform("linux", "arm", f"v{machine[4:5]}")
    return Platform("linux", _ARCHITECTURES.get(machine, machine))


def parse(text: str) -> Platform:
    """Read ``os[/arch[/variant]]`` or an architecture alone; raises `Said`."""
    parts = text.lower().split("/")
    if not all(parts) or len(parts) > 3:
        raise Said(words.BAD_PLATFORM.format(text=text))
    if len(parts) == 1:
        here = host()
        parts = [parts[0], here.architecture] if parts[0] in _SYSTEMS else ["linux", parts[0]]
    return Platform(parts[0], _ARCHITECTURES.get(parts[1], parts[1]), *parts[2:])


def choose(index: Manifest, wanted: Platform) -> Descriptor:
    """The image of an index that is for this platform; raises `Said` in docker's words."""
    for child in index.manifests:
        if child.platform is not None and _normal(child.platform) == _normal(wanted):
            return child
    offered = sorted({str(child.platform) for child in index.manifests if child.platform})
    raise Said(
        words.NO_PLATFORM.format(platform=wanted),
        hint=f"it has {', '.join(name for name in offered if 'unknown' not in name) or 'no platforms'}",
    )


def of_host(index: Manifest) -> Descriptor | None:
    """The image of an index that this machine would run; where there is none, the first. None for an empty index."""
    here = _normal(host())
    images = [child for child in index.manifests if child.platform is None or child.platform.os != "unknown"]
    mine = [child for child in images if child.platform is not None and _normal(child.platform) == here]
    return next(iter([*mine, *images]), None)


def matches(found: Platform, wanted: Platform) -> bool:
    """Whether both mean the same platform."""
    return _normal(found) == _normal(wanted)


def _normal(platform: Platform) -> tuple[str, str, str]:
    architecture = _ARCHITECTURES.get(platform.architecture, platform.architecture)
    variant = _VARIANTS.get((architecture, platform.variant), platform.variant)
    return platform.os, architecture, variant
