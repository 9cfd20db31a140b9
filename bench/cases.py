"""The cases: what users do all day, at the sizes at which it hurts."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from bench.contestants import Contestants
from bench.measure import interleave
from bench.table import Row, Target
from tests.support import images, peers, remote
from tests.support.certificates import Authority
from tests.support.delay import Delay
from tests.support.registry import Registry

__all__ = ["CASES", "Bench"]

GIGABYTE = 1_000_000_000
LAYERS = 8
IMAGES = 200
ROUND_TRIP = 0.020
"""Seconds added to each round trip in the cases that look at round trips."""


@dataclass(frozen=True)
class Bench:
    """Where a bench works, and how often it repeats."""

    folder: Path
    runs: int
    size: int
    """Bytes of the large image."""
    liftlock: Path
    """The console script that is measured."""

    def tools(self, ca: Path | None = None) -> Contestants:
        """Every tool that is there."""
        return Contestants(self.folder, self.liftlock, ca=ca)

    def authority(self) -> Authority:
        """Of the registries' certificates."""
        folder = self.folder / "authority"
        folder.mkdir(exist_ok=True)
        return Authority(folder)

    def large(self) -> images.Image:
        """Half random, half compressible; made once."""
        layout = self.folder / "large"
        each = self.size // LAYERS
        if not layout.exists():
            images.make_image(layout, "large", layers=LAYERS, layer_bytes=each, compressible=0.0, seed="large")
        root = images.tags(layout)["large"]
        return images.Image(layout, "large", root, ())


def forget_skopeo() -> None:
    """skopeo remembers where blobs are; a copy that starts cold is the fair one."""
    shutil.rmtree("/var/lib/containers/cache", ignore_errors=True)


def large(bench: Bench, *, tls: bool, verify: str) -> Row:
    """A and A': one large image from one registry to another."""
    with ExitStack() as stack:
        authority = bench.authority() if tls else None
        source = stack.enter_context(Registry(tls=authority))
        destination = stack.enter_context(Registry(tls=authority))
        image = bench.large()
        remote.push(image.layout, image.tag, source, "bench/large")
        tools = bench.tools(source.ca)
        names = f"{source.host}/bench/large:large", f"{destination.host}/bench/large:large"

        def before() -> None:
            destination.wipe()
            forget_skopeo()

        commands = [tools.liftlock("copy", "--verify", verify, *names), *tools.peers_copy(*names)]
        series = interleave(commands, runs=bench.runs, before=before)
    peer_targets = [Target("wall", 0.85, "crane"), Target("wall", 0.85, "regctl")]
    if verify == "client":
        targets = [Target("wall", 0.75, "skopeo"), Target("cpu", 0.45, "skopeo"), Target("memory", 64 << 20)]
        return Row("A: 1 GB, 8 layers, registry → registry, client hashes", series, targets)
    targets = [Target("wall", 0.62, "skopeo"), *peer_targets]
    if not tls:
        targets.insert(1, Target("cpu", 0.15, "skopeo"))
    return Row(f"A': the same, destination verifies, {'TLS' if tls else 'plain'}", series, targets)


def many(bench: Bench) -> Iterator[Row]:
    """B: many images that share layers, then the same again."""
    with Registry() as source, Registry() as destination:
        layout = bench.folder / "many"
        listing = bench.folder / "many.txt"
        repository = "bench/many"
        for number in range(IMAGES):
            tag = f"v{number}"
            images.make_image(layout, tag, layers=4, layer_bytes=20_000, shared_layers=3, seed=number)
            remote.push(layout, tag, source, repository)
        pairs = [f"{source.host}/{repository}:v{number} {destination.host}/{repository}" for number in range(IMAGES)]
        listing.write_text("\n".join(pairs) + "\n")
        tools = bench.tools()
        ours = tools.liftlock("copy", "--from", listing)
        theirs = tools.peers_sync(f"{source.host}/{repository}", f"{destination.host}/bench")

        def before() -> None:
            destination.wipe()
            forget_skopeo()

        series = interleave([ours, *theirs], runs=bench.runs, before=before)
        yield Row(f"B: {IMAGES} images sharing layers", series, [Target("wall", 0.40, "skopeo sync")])
        series = interleave([ours, *theirs], runs=bench.runs)
        yield Row("B: again, nothing changed", series, [Target("wall", 0.40, "skopeo sync")])


def round_trips(bench: Bench) -> Iterator[Row]:
    """C and D: small copies inside one registry that is 20 ms away."""
    with Registry() as registry, Delay(registry.host, round_trip=ROUND_TRIP) as line:
        image = images.make_image(bench.folder / "small", "small", layers=3, layer_bytes=20_000)
        remote.push(image.layout, image.tag, registry, "bench/staging")
        tools = bench.tools()
        staging, production = f"{line.host}/bench/staging:small", f"{line.host}/bench/production:small"
        production_folder = registry.folder / "data/docker/registry/v2/repositories/bench/production"

        def absent() -> None:
            shutil.rmtree(production_folder, ignore_errors=True)
            forget_skopeo()

        copy = tools.liftlock("copy", "--no-referrers", staging, production)
        series = interleave([copy, *tools.peers_copy(staging, production)], runs=bench.runs, before=absent)
        targets = [Target("wall", 0.20, "skopeo"), Target("wall", 0.4, "crane"), Target("wall", 0.7, "regctl")]
        yield Row("C: small image, same registry, other repository, 20 ms", series, targets)

        series = interleave([copy, *tools.peers_copy(staging, production)], runs=bench.runs, before=forget_skopeo)
        targets = [Target("wall", 0.20, "skopeo"), Target("wall", 0.7, "regctl")]
        yield Row("D: nothing changed, 20 ms", series, targets)

        tag = production_folder.with_name("staging") / "_manifests/tags/stable"

        def untagged() -> None:
            shutil.rmtree(tag, ignore_errors=True)
            forget_skopeo()

        stable = f"{line.host}/bench/staging:stable"
        retag = tools.liftlock("tag", staging, "stable")
        series = interleave([retag, *tools.peers_copy(staging, stable)], runs=bench.runs, before=untagged)
        targets = [Target("wall", 0.25, "skopeo"), Target("wall", 0.9, "regctl")]
        yield Row("D: retag, 20 ms", series, targets)


def start_up(bench: Bench) -> Iterator[Row]:
    """E: what a command costs before it does anything."""
    with Registry() as registry:
        image = images.make_image(bench.folder / "small", "small", layers=3, layer_bytes=20_000)
        remote.push(image.layout, image.tag, registry, "bench/staging")
        tools = bench.tools()
        staging, production = f"{registry.host}/bench/staging:small", f"{registry.host}/bench/production:small"
        folder = registry.folder / "data/docker/registry/v2/repositories/bench/production"
        copy = tools.liftlock("copy", staging, production)
        runs = max(bench.runs, 15)
        series = interleave([copy], runs=runs, before=lambda: shutil.rmtree(folder, ignore_errors=True))
        yield Row("E: whole process, small same-registry copy on loopback", series, [Target("wall", 0.080)])
        series = interleave([tools.liftlock("--version")], runs=runs)
        yield Row("E: `liftlock --version`", series, [Target("wall", 0.050)])


def publish(bench: Bench) -> Iterator[Row]:
    """F: a docker-save tar becomes an artifact."""
    image = bench.large()
    archive = bench.folder / "large.tar"
    if not archive.exists():
        peers.run(
            "skopeo",
            "--insecure-policy",
            "copy",
            f"oci:{image.layout}:{image.tag}",
            f"docker-archive:{archive}:bench/large:1",
        )
    tools = bench.tools()
    project = bench.folder / "project"
    layout = bench.folder / "unpacked"

    def before() -> None:
        for folder in (project, layout):
            shutil.rmtree(folder, ignore_errors=True)
        project.mkdir()
        (project / "liftlock.yaml").write_text(
            "pipeline: bench\nimages: [large]\nstore: ./artifacts\n"
            "stages: [{name: dev, to: 'oci:dev/{image}', tags: ['{build}']}]\n"
        )

    ours = tools.liftlock(
        "artifact", "publish", f"large=docker-archive:{archive}", "--build", "1", "-f", project / "liftlock.yaml"
    )
    series = interleave([ours, *tools.peers_unpack(archive, layout)], runs=bench.runs, before=before)
    yield Row("F: publish a 1 GB docker-save tar", series, [Target("wall", 1.0, "skopeo")])


def a(bench: Bench) -> Iterator[Row]:
    """A, and A' plain and TLS."""
    yield large(bench, tls=False, verify="client")
    yield large(bench, tls=False, verify="auto")
    yield large(bench, tls=True, verify="auto")


CASES: dict[str, Callable[[Bench], Iterator[Row]]] = {
    "A": a,
    "B": many,
    "CD": round_trips,
    "E": start_up,
    "F": publish,
}
