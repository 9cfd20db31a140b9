"""`liftlock inspect`."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from liftlock.cli.invocation import Invocation, pass_invocation
from liftlock.cli.lazy import Verb
from liftlock.cli.options import network_options, output_option
from liftlock.cli.output import bytes_text, document, fields, line, table

if TYPE_CHECKING:
    from liftlock.services.images import Inspection

__all__ = ["inspect"]

EXAMPLES = (
    "liftlock inspect prod.example/app:1.4",
    "liftlock inspect docker-archive:app.tar -o json",
    "liftlock inspect prod.example/app:1.4 --raw | sha256sum",
)


@click.command(cls=Verb, examples=EXAMPLES)
@click.argument("image")
@click.option("--raw", is_flag=True, help="Write the manifest's bytes, exactly as they are stored.")
@output_option("text", "json")
@network_options
@pass_invocation
def inspect(invocation: Invocation, image: str, raw: bool) -> None:
    """Show an image: platforms, config, referrers."""
    from liftlock.services import images

    with invocation.session() as session:
        if raw:
            data = images.raw_manifest(session, image)
            sys.stdout.buffer.write(data)
            return
        found = images.inspect(session, image)
    if invocation.output == "json":
        document("Image", found.to_json())
    else:
        _show(found)


def _show(found: Inspection) -> None:
    manifest, config = found.manifest, found.config or {}
    layers = manifest.layers
    size = sum(layer.size for layer in layers)
    fields(
        [
            ("name", found.name),
            ("digest", manifest.digest),
            ("type", manifest.media_type),
            ("artifact", "" if config else manifest.artifact_type),
            ("subject", manifest.subject.digest if manifest.subject else ""),
            ("platform", str(found.platform or "")),
            ("created", _text(config.get("created"))),
            ("layers", f"{len(layers)}, {bytes_text(size)}" if layers else ""),
            *_runtime(config.get("config")),
        ]
    )
    _show_list("platforms", [[str(platform), child.digest] for platform, child in found.platforms])
    _show_list("annotations", [[key, _text(value)] for key, value in manifest.annotations.items()])
    _show_list("referrers", [[each.artifact_type or "-", each.digest] for each in found.referrers])


def _show_list(title: str, rows: Sequence[Sequence[str]]) -> None:
    if rows:
        line(title)
        table(rows, indent="  ")


def _runtime(config: object) -> list[tuple[str, str]]:
    """What a container of this image would do (OCI image spec, config.md, ``config``)."""
    if not isinstance(config, Mapping):
        return []
    labels: Any = config.get("Labels")
    return [
        ("entrypoint", _words(config.get("Entrypoint"))),
        ("command", _words(config.get("Cmd"))),
        ("user", _text(config.get("User"))),
        ("ports", ", ".join(map(str, config["ExposedPorts"])) if isinstance(config.get("ExposedPorts"), dict) else ""),
        ("labels", ", ".join(f"{key}={value}" for key, value in labels.items()) if isinstance(labels, dict) else ""),
    ]


def _words(value: object) -> str:
    if not isinstance(value, list):
        return ""
    import shlex

    return shlex.join(map(str, value))


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
