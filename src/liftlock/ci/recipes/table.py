"""Which recipes there are, and the one way to write them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from liftlock.ci.recipes import azure, codepipeline, github, gitlab
from liftlock.ci.recipes.blueprint import Blueprint, read_blueprint
from liftlock.ci.recipes.writing import write

__all__ = ["RECIPES", "Recipe", "make"]


class Recipe(NamedTuple):
    """How a CI system's files are made."""

    texts: Callable[[Blueprint], dict[str, str]]
    """The files, by their names in the repository; raises `ConfigError` for what this system's recipe cannot do."""
    approvals: str
    """How the system itself asks people, as a hint."""


RECIPES = {
    "codepipeline": Recipe(codepipeline.texts, codepipeline.APPROVALS),
    "azure-pipelines": Recipe(azure.texts, azure.APPROVALS),
    "github": Recipe(github.texts, github.APPROVALS),
    "gitlab": Recipe(gitlab.texts, gitlab.APPROVALS),
}


def make(system: str, file: str, folder: str, *, force: bool = False, dry_run: bool = False) -> dict[str, str]:
    """Write a system's recipe for a pipeline file below a folder, or only make it; the texts by their names.

    Raises `NotFound` and `ConfigError` for the pipeline file, `Conflict` where a file is there and not ``force``.
    """
    recipe = RECIPES[system]
    found = recipe.texts(read_blueprint(file, approvals=recipe.approvals))
    if not dry_run:
        write(Path(folder), found, force=force)
    return found
