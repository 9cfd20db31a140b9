"""``docker inspect`` and ``docker image inspect``: what an image is, as docker's API describes it.

The ID is the digest of what the name stands for, as since Docker 29: of the index, where there is one. What is said of
platform and configuration is that of this machine's platform.
"""

from __future__ import annotations

import json

from liftlock.ci.docker import words
from liftlock.ci.docker.contents import config, host_manifest, total
from liftlock.ci.docker.flags import Flags
from liftlock.ci.docker.names import familiar, familiar_name, named
from liftlock.ci.docker.run import Run
from liftlock.ci.docker.store import Image
from liftlock.ci.docker.template import fields, render
from liftlock.ci.docker.words import Said
from liftlock.typed import Any

__all__ = ["inspect", "inspect_image"]

_WITHOUT_CONFIG = frozenset({"Descriptor", "Id", "RepoDigests", "RepoTags", "Size"})
"""What is known without the image's configuration, which may have to be fetched."""


def inspect(run: Run, given: Flags) -> None:
    """Describe images; nothing else is here."""
    kind = given.values.get("type", "")
    if kind not in ("", "image"):
        raise Said(
            words.NO_SUCH_OBJECT.format(kind=kind, text=given.arguments[0]), hint="liftlock-docker has images only"
        )
    _inspect(run, given, words.NO_SUCH_OBJECT)


def inspect_image(run: Run, given: Flags) -> None:
    """Describe images."""
    _inspect(run, given, words.NO_SUCH_IMAGE)


def _inspect(run: Run, given: Flags, missing: str) -> None:
    described, absent = [], []
    template = given.values.get("format", "json")
    configured = not fields(template) <= _WITHOUT_CONFIG
    for text in given.arguments:
        image = run.store.find(text)
        if image is None:
            name = text if text.startswith("sha256:") else familiar(named(text))
            absent.append(missing.format(kind="object", text=text, name=name))
        else:
            described.append(_describe(run, image, configured=configured))
    if "format" not in given.values:
        run.say(json.dumps(described, indent=4, ensure_ascii=False))
    else:
        for each in described:
            run.say(render(template, each))
        if not described:
            run.say("")
    if absent:
        raise Said("\n".join(absent))


def _describe(run: Run, image: Image, *, configured: bool) -> dict[str, Any]:
    manifest = host_manifest(run.store, image)
    found = config(run, image, manifest) if manifest and configured else {}
    entries = [entry for entry in run.store.with_digest(image.digest) if entry.name]
    # The name that was asked for comes first: scripts take the first digest.
    entries.sort(key=lambda entry: entry.name != image.name)
    rootfs = found.get("rootfs")
    layers = rootfs.get("diff_ids") if isinstance(rootfs, dict) else None
    described: dict[str, Any] = {
        "Id": image.digest,
        "RepoTags": [familiar(entry.reference) for entry in entries if "@" not in entry.name],
        "RepoDigests": list(dict.fromkeys(f"{familiar_name(entry.reference)}@{image.digest}" for entry in entries)),
        "Created": found.get("created", ""),
        "Author": found.get("author", ""),
        "Config": found.get("config"),
        "Architecture": found.get("architecture", ""),
        "Os": found.get("os", ""),
        "Size": total(manifest) if manifest else 0,
        "RootFS": {"Type": "layers", "Layers": layers or []},
        "Descriptor": image.descriptor.to_json(),
    }
    if found.get("variant"):
        described["Variant"] = found["variant"]
    return described
