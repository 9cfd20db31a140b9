"""A small application of two images, saved as Docker does it: what the demo starts from."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from pathlib import Path

__all__ = ["save"]

BASE = {
    "etc/os-release": 'NAME="Liftlock demo"\n',
    "usr/share/words": "".join(
        f"gate {n}: the ship rises, the water is level, the gate opens\n" for n in range(40_000)
    ),
}
"""The layer that both images share."""

IMAGES = {
    "web": {"srv/index.html": "<h1>A lift lock raises a ship from one level to the next</h1>\n"},
    "worker": {"srv/work.sh": "#!/bin/sh\necho working\n"},
}


def save(path: Path, *, tag: str) -> None:
    """Write ``docker save web:tag worker:tag`` to a file, in the form of Docker up to 24. The same bytes every time."""
    members: dict[str, bytes] = {}
    saved = []
    for name, files in IMAGES.items():
        layers = [_tar(BASE), _tar(files)]
        config = json.dumps(
            {
                "architecture": "amd64",
                "os": "linux",
                "config": {"Cmd": ["/bin/sh"], "Labels": {"org.opencontainers.image.title": name}},
                "rootfs": {"type": "layers", "diff_ids": [f"sha256:{_hex(layer)}" for layer in layers]},
                "history": [{"created_by": "base"}, {"created_by": f"COPY {name}"}],
            }
        ).encode()
        members |= {f"{_hex(layer)}/layer.tar": layer for layer in layers}
        members[f"{_hex(config)}.json"] = config
        saved.append(
            {
                "Config": f"{_hex(config)}.json",
                "RepoTags": [f"{name}:{tag}"],
                "Layers": [f"{_hex(layer)}/layer.tar" for layer in layers],
            }
        )
    members["manifest.json"] = json.dumps(saved).encode()
    path.write_bytes(_tar(members))


def _tar(files: dict[str, str] | dict[str, bytes]) -> bytes:
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, content in files.items():
            data = content.encode() if isinstance(content, str) else content
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return target.getvalue()


def _hex(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
