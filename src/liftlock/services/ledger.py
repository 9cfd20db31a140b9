"""The record, checked and taken out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from liftlock.errors import CorruptContent, NotFound
from liftlock.services.project import Project
from liftlock.store.chain import Chain, check_export, line_of

__all__ = ["chain_json", "export", "verify", "verify_file"]


def verify(project: Project) -> Sequence[Chain]:
    """Every ledger in the database, recomputed from its first entry to its head."""
    with project.home.store.read() as tx:
        return [tx.ledger.check(pipeline) for pipeline in tx.ledger.pipelines()]


def verify_file(path: str) -> Chain:
    """What `export` wrote, recomputed. Raises `NotFound`, and `CorruptContent` for a file of something else."""
    try:
        with open(path, encoding="utf-8", newline="\n") as file:
            return check_export(file)
    except FileNotFoundError:
        raise NotFound(f"there is no file {path}") from None
    except UnicodeDecodeError:
        raise CorruptContent(f"{path} is no text", hint="liftlock ledger export writes one") from None
    except CorruptContent as error:
        raise CorruptContent(f"{path}: {error.message}", hint=error.hint) from None


def export(project: Project, after: int = 0) -> Iterator[str]:
    """The ledger of the project's pipeline as lines of NDJSON, from the entry after this number on."""
    with project.home.store.read() as tx:
        for entry in tx.ledger.entries(project.pipeline.name, after):
            yield line_of(entry)


def chain_json(chain: Chain) -> dict[str, Any]:
    """A ledger that was checked, for programs."""
    return {
        "pipeline": chain.pipeline,
        "intact": chain.intact,
        "first": chain.first,
        "entries": chain.entries,
        "head": chain.head or None,
        "wrong": None if chain.intact else {"entry": chain.last + 1, "reason": chain.reason},
    }
