"""`liftlock ledger`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from liftlock.cli.commands import SETTINGS
from liftlock.cli.invocation import Invocation, pass_invocation
from liftlock.cli.lazy import Verb
from liftlock.cli.options import debug_option, output_option
from liftlock.cli.output import document, line
from liftlock.cli.project import file_option
from liftlock.errors import CorruptContent

if TYPE_CHECKING:
    from liftlock.store.chain import Chain

__all__ = ["ledger"]


@click.group(context_settings=SETTINGS)
def ledger() -> None:
    """Check and export the record of what was decided and done."""


@ledger.command(cls=Verb, examples=("liftlock ledger verify", "liftlock ledger verify ledger.ndjson"))
@click.argument("export", required=False)
@file_option
@output_option("text", "json")
@debug_option
@pass_invocation
@click.pass_context
def verify(ctx: click.Context, invocation: Invocation, export: str | None, file: str | None) -> None:
    """Recompute every entry; exit 1, and the first wrong one, when the record is not what was written.

    With EXPORT it is what `ledger export` wrote that is checked, and no database is asked. The head that is printed is
    the digest of everything before it: kept elsewhere, it shows that a record was not written anew as a whole.
    """
    from liftlock.services.ledger import chain_json, verify, verify_file
    from liftlock.services.project import Project

    if export is not None:
        found = [verify_file(export)]
    else:
        with Project(file) as project:
            found = list(verify(project))
    if invocation.output == "json":
        document("LedgerVerification", {"ledgers": [chain_json(each) for each in found]})
        ctx.exit(0 if all(each.intact for each in found) else 1)
    for chain in found:
        _require(chain)
        line(f"{chain.pipeline}: entries {chain.first} to {chain.last} hold, head {chain.head}")
    if not found:
        sys.stderr.write("nothing is on record yet\n")


@ledger.command(cls=Verb, examples=("liftlock ledger export > ledger.ndjson", "liftlock ledger export --after 120"))
@click.option(
    "--after", metavar="NUMBER", type=click.IntRange(min=0), default=0, help="Only what came after this entry."
)
@file_option
@debug_option
def export(after: int, file: str | None) -> None:
    """Print the record: one line of JSON for each entry, with its digest."""
    from liftlock.services.ledger import export
    from liftlock.services.project import Project

    with Project(file) as project:
        for each in export(project, after):
            sys.stdout.write(f"{each}\n")


def _require(chain: Chain) -> None:
    if not chain.intact:
        raise CorruptContent(
            f"the ledger of {chain.pipeline!r} is broken at entry {chain.last + 1}: {chain.reason}",
            hint="everything before that entry holds; compare the rest with a backup or an export",
        )
