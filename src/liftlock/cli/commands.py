"""The table of commands. A new command is one file with a click command, and one row here."""

from __future__ import annotations

import click

from liftlock import __version__
from liftlock.cli.lazy import Entry, LazyGroup

__all__ = ["TABLE", "liftlock"]

IMAGES = "Images"
RELEASES = "Releases"
CI = "CI"
OPERATION = "Operation"
REGISTRIES = "Registries"
SHELL = "Shell"

TABLE = {
    "copy": Entry("liftlock.cli.copy:copy", "Copy images, with everything attached to them.", IMAGES),
    "inspect": Entry("liftlock.cli.inspect:inspect", "Show an image: platforms, config, referrers.", IMAGES),
    "ls": Entry("liftlock.cli.ls:ls", "List a registry's repositories, or a repository's tags.", IMAGES),
    "digest": Entry("liftlock.cli.digest:digest", "Print the digest that a tag names.", IMAGES),
    "tag": Entry("liftlock.cli.tag:tag", "Give an image further tags in its own repository.", IMAGES),
    "delete": Entry("liftlock.cli.delete:delete", "Delete a tag, or an image by its digest.", IMAGES),
    "artifact": Entry("liftlock.cli.artifact:artifact", "Publish what a build made, and look at it.", RELEASES),
    "release": Entry(
        "liftlock.cli.release:release", "Make releases of published artifacts, follow them, and stop them.", RELEASES
    ),
    "plan": Entry("liftlock.cli.plan:plan", "Tell exactly what a promotion would do.", RELEASES),
    "promote": Entry("liftlock.cli.promote:promote", "Take a release into a stage.", RELEASES),
    "explain": Entry("liftlock.cli.explain:explain", "Tell what stands between a release and a stage.", RELEASES),
    "approve": Entry("liftlock.cli.approve:approve", "Say yes to a release that waits for approvals.", RELEASES),
    "reject": Entry("liftlock.cli.approve:reject", "Say no to a release that waits for approvals.", RELEASES),
    "override": Entry(
        "liftlock.cli.approve:override",
        "Let a release go ahead although its conditions are not met.",
        RELEASES,
    ),
    "rollback": Entry(
        "liftlock.cli.rollback:rollback", "Bring an earlier release back into a stage, and hold the stage.", RELEASES
    ),
    "hold": Entry("liftlock.cli.hold:hold", "Stop a stage, or every stage.", RELEASES),
    "unhold": Entry("liftlock.cli.hold:unhold", "Release the holds of a stage.", RELEASES),
    "status": Entry("liftlock.cli.status:status", "Show which release is in which stage.", RELEASES),
    "trace": Entry("liftlock.cli.trace:trace", "Tell where an image came from, and where it went.", RELEASES),
    "ledger": Entry(
        "liftlock.cli.ledger:ledger", "Check and export the record of what was decided and done.", RELEASES
    ),
    "init": Entry("liftlock.cli.init:init", "Write a pipeline file to begin with.", RELEASES),
    "validate": Entry("liftlock.cli.validate:validate", "Check a pipeline file.", RELEASES),
    "schema": Entry("liftlock.cli.schema:schema", "Print the JSON Schema of a pipeline file, for editors.", RELEASES),
    "worker": Entry("liftlock.cli.worker:worker", "Do what is due, until it is stopped.", RELEASES),
    "demo": Entry("liftlock.cli.demo:demo", "Promote a small application through three stages.", RELEASES),
    "ci": Entry("liftlock.cli.ci:ci", "Write what makes a CI system promote.", CI),
    "codepipeline": Entry(
        "liftlock.cli.codepipeline:codepipeline", "Run a stage of an AWS CodePipeline on this machine.", CI
    ),
    "buildspec": Entry("liftlock.cli.buildspec:buildspec", "Run an AWS CodeBuild buildspec on this machine.", CI),
    "db": Entry("liftlock.cli.db:db", "Look after the database that remembers.", OPERATION),
    "login": Entry("liftlock.cli.login:login", "Store credentials for a registry.", REGISTRIES),
    "logout": Entry("liftlock.cli.logout:logout", "Remove the stored credentials of a registry.", REGISTRIES),
    "completion": Entry("liftlock.cli.completion:completion", "Print a shell's completion script.", SHELL),
}


SETTINGS = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


@click.group(cls=LazyGroup, table=TABLE, context_settings=SETTINGS)
@click.version_option(__version__, message="liftlock %(version)s")
def liftlock() -> None:
    """Promote container images from build to production, proven to be the same image at every level."""
