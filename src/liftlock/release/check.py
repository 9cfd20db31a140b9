"""What does not fit together in a pipeline, said with its place, so that whoever read the file can name the line."""

from __future__ import annotations

import graphlib
import re
from collections.abc import Callable, Iterator, Mapping

from liftlock.errors import UsageError
from liftlock.oci.reference import Reference
from liftlock.release.arrival import flaws_of_events, is_ecr
from liftlock.release.check_stage import Flaw, Place, doubts_of_rules, flaws_of_groups, flaws_of_rules, repeated
from liftlock.release.names import VARIABLE_NAME, is_clean, suggestion
from liftlock.release.pipeline import Pipeline, RegistryOptions
from liftlock.release.place import parse_place, parse_source, parse_store, parse_tag
from liftlock.release.stage import Stage
from liftlock.release.template import Template, is_built_in

__all__ = ["Flaw", "Place", "doubts", "flaws", "variable_flaw"]

_SOURCE_LACKS = ("date", "release")

_SECRET = re.compile(r"(?:env|file):")
_AZURE = (".azurecr.io", ".azurecr.cn", ".azurecr.us")
_RESOURCE = re.compile(
    r"/subscriptions/[\w-]+/resourceGroups/[\w.()-]+/providers/Microsoft\.ContainerRegistry/registries/[A-Za-z0-9]+",
    re.IGNORECASE,
)
_REMOTE = re.compile(r"[a-z][a-z0-9+.-]*:")


def flaws(pipeline: Pipeline) -> Iterator[Flaw]:
    """Everything that is wrong with a pipeline whose parts are of the right kinds."""
    yield from repeated(pipeline.images, "image", ("images",))
    for name, value in pipeline.variables.items():
        if said := variable_flaw(name, value):
            yield Flaw(("variables", name), *said)
    for host, options in pipeline.registries.items():
        if not _is_host(host):
            yield Flaw(("registries", host), f"{host!r} is not a registry's host", "write host or host:port")
        if _SECRET.match(options.ca_file):
            yield Flaw(("registries", host, "ca-file"), "a secret reference is not taken here", "name a file")
        yield from _azures(host, options)
        yield from _amazons(host, options)
    yield from flaws_of_groups(pipeline)
    yield from _store(pipeline.store)
    if pipeline.source:
        yield from _source(pipeline, pipeline.source)
    yield from (Flaw(("events",), *said) for said in flaws_of_events(pipeline))
    yield from _order(pipeline)
    for position, stage in enumerate(pipeline.stages):
        yield from _texts(pipeline, stage, ("stages", position))
        yield from flaws_of_rules(pipeline, stage, ("stages", position))


def doubts(pipeline: Pipeline) -> Iterator[Flaw]:
    """What is no flaw, and will surprise somebody: `liftlock validate` warns of it."""
    if pipeline.source and not pipeline.store:
        yield Flaw(
            ("source",),
            "images of source are pinned where they are and not stored: a release ends when they are deleted there",
            "say store: ./artifacts to keep them",
        )
    for position, stage in enumerate(pipeline.stages):
        yield from doubts_of_rules(pipeline, stage, ("stages", position))
    yield from _shared_tags(pipeline)


def _shared_tags(pipeline: Pipeline) -> Iterator[Flaw]:
    moved: dict[str, str] = {}
    for position, stage in enumerate(pipeline.stages):
        for number, tag in enumerate(stage.tags):
            for name in sorted({f"{to.text}:{tag.text}" for to in stage.to}):
                first = moved.setdefault(name, stage.name)
                if first != stage.name:
                    yield Flaw(
                        ("stages", position, "tags", number),
                        f"the stages {first!r} and {stage.name!r} move the same tag, {name}: what goes to one is in "
                        "both, whatever the other asks for",
                        "give each stage a place or a tag of its own",
                    )


def variable_flaw(name: str, value: str) -> tuple[str, str] | None:
    """What is wrong with a variable, and a hint; the same for those of the file and of ``--var``."""
    if is_built_in(name):
        return f"{{{name}}} gets its value from the release", "choose another name"
    if not re.match(VARIABLE_NAME, name):
        return f"{name!r} cannot name a variable", "letters, digits, '_' and '-', a letter or '_' first"
    if _SECRET.match(value):
        return f"the variable {name!r} is a secret reference, and those are not taken here", "variables are public"
    if "{" in value or "}" in value:
        return f"the value of {name!r} has braces", "a variable's value is not expanded again: write it out"
    if not is_clean(value, 512):
        return f"the value of {name!r} is not one line of at most 512 characters", ""
    return None


def _azures(host: str, options: RegistryOptions) -> Iterator[Flaw]:
    """What only Azure's registries do, asked of others, or of none that Azure has."""
    place, azures = ("registries", host), host.lower().endswith(_AZURE)
    if options.lock and not azures:
        hint = "drop lock; a registry of its own kind keeps tags: Amazon ECR with create: {immutable: true}"
        yield Flaw((*place, "lock"), f"{host} is no Azure Container Registry, and only those are locked", hint)
    if options.import_into and not azures:
        hint = "drop import: images are copied"
        yield Flaw((*place, "import"), f"{host} is no Azure Container Registry, and only those import images", hint)
    elif options.import_into and not _RESOURCE.fullmatch(options.import_into):
        hint = "az acr show --name NAME --query id prints it"
        yield Flaw((*place, "import"), f"{options.import_into!r} is no container registry's resource id", hint)


def _amazons(host: str, options: RegistryOptions) -> Iterator[Flaw]:
    """What only Amazon's registries do, asked of others."""
    if is_ecr(host):
        return
    if options.role:
        hint = "drop role: other registries have their credentials in files, variables or their own cloud"
        yield Flaw(("registries", host, "role"), f"{host} is no registry of Amazon ECR, and AWS roles open none", hint)
    if options.create:
        hint = "drop create: other registries make repositories by themselves, or do not let them be made"
        yield Flaw(("registries", host, "create"), f"{host} is no registry of Amazon ECR", hint)


def _is_host(host: str) -> bool:
    try:
        # A second repository part, since Docker Hub's one-part names are not kept as written.
        return Reference.parse(f"{host}/a/b") == Reference(host, "a/b")
    except UsageError:
        return False


def _store(store: str) -> Iterator[Flaw]:
    if "{" in store or "}" in store or not is_clean(store, 4096):
        yield Flaw(("store",), f"{store!r} cannot name a store", "a store takes no variables")
    elif "://" in store:
        try:
            parse_store(store)
        except UsageError as error:
            yield Flaw(("store",), error.message, error.hint)
    elif _REMOTE.match(store):
        yield Flaw(("store",), f"{store!r} names no store", "write ./folder, oci://registry/repository or s3://bucket")


def _source(pipeline: Pipeline, source: Template) -> Iterator[Flaw]:
    place = ("source",)
    for name in source.variables:
        if name in _SOURCE_LACKS or name.startswith("label."):
            yield Flaw(place, f"{{{name}}} is not known before there is a release", "use {build}, {commit} or --var")
    if len(pipeline.images) > 1 and "image" not in source.variables:
        yield Flaw(place, "every image would come from the same reference", "use {image} in it")
    yield from _shape(pipeline, source, place, parse_source)


def _texts(pipeline: Pipeline, stage: Stage, place: Place) -> Iterator[Flaw]:
    for position, to in enumerate(stage.to):
        yield from _shape(pipeline, to, (*place, "to", position) if len(stage.to) > 1 else (*place, "to"), parse_place)
    for position, tag in enumerate(stage.tags):
        yield from _shape(pipeline, tag, (*place, "tags", position), parse_tag)
    if len(pipeline.images) > 1 and any("image" not in to.variables for to in stage.to):
        for position, tag in enumerate(stage.tags):
            if "image" not in tag.variables:
                yield Flaw(
                    (*place, "tags", position),
                    f"in stage {stage.name!r} every image would get the same reference",
                    "use {image} in to, or in each tag",
                )


def _shape(pipeline: Pipeline, text: Template, place: Place, read: Callable[[str], object]) -> Iterator[Flaw]:
    """Whether a text can be read at all; ``0`` is a well-formed host, port, part of a repository and tag."""
    if _SECRET.match(text.text):
        yield Flaw(place, f"{text.text!r} is a secret reference, and those are not taken here")
        return
    if not text.is_well_formed:
        yield Flaw(place, f"{text.text!r} has a brace that belongs to no variable", "write {name}")
        return
    values: Mapping[str, str] = {**dict.fromkeys(text.variables, "0"), **pipeline.variables}
    expanded = text.expand(values)
    try:
        read(expanded)
    except UsageError as error:
        yield Flaw(place, error.message.replace(repr(expanded), repr(text.text)), error.hint)


def _order(pipeline: Pipeline) -> Iterator[Flaw]:
    names = tuple(stage.name for stage in pipeline.stages)
    for position, name in enumerate(names):
        if name in names[:position]:
            yield Flaw(("stages", position, "name"), f"the stage {name!r} is named twice")
    broken = len(set(names)) < len(names)
    for position, stage in enumerate(pipeline.stages):
        place = ("stages", position, "after")
        yield from repeated(stage.after, "stage", place)
        for number, earlier in enumerate(stage.after):
            if earlier == stage.name:
                yield Flaw((*place, number), f"the stage {stage.name!r} comes after itself")
            elif earlier not in names:
                hint = suggestion(earlier, [name for name in names if name != stage.name], "there are ")
                yield Flaw((*place, number), f"there is no stage {earlier!r}", hint)
            else:
                continue
            broken = True
    if broken:
        return
    try:
        graphlib.TopologicalSorter({stage.name: stage.after for stage in pipeline.stages}).prepare()
    except graphlib.CycleError as error:
        circle: list[str] = error.args[1][1:]
        first = min(circle, key=names.index)
        start = circle.index(first)
        shown = " → ".join([*circle[start:], *circle[:start], first])
        yield Flaw(("stages", names.index(first), "after"), f"stages wait for each other: {shown}")
