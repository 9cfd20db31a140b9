"""`liftlock login`."""

from __future__ import annotations

import sys

import click

from liftlock.cli.invocation import Invocation, pass_invocation
from liftlock.cli.lazy import Verb
from liftlock.cli.options import network_options, output_option
from liftlock.cli.output import document, line
from liftlock.errors import UsageError

__all__ = ["login"]

EXAMPLES = (
    "liftlock login prod.example -u deployer",
    'printf %s "$PASSWORD" | liftlock login prod.example -u deployer --password-stdin',
)


@click.command(cls=Verb, examples=EXAMPLES)
@click.argument("registry")
@click.option("-u", "--username", required=True, metavar="USER", help="Who to log in as.")
@click.option("--password-stdin", is_flag=True, help="Read the password from stdin instead of asking for it.")
@output_option("text", "json")
@network_options
@pass_invocation
def login(invocation: Invocation, registry: str, username: str, password_stdin: bool) -> None:
    """Store credentials for a registry.

    They are tried first, and stored where docker, podman and skopeo find them too: by a credential helper where one is
    configured, else in a file. There is no option for the password, since options are seen by everyone on the machine.
    """
    from liftlock.auth.login import login as try_and_store
    from liftlock.auth.secret import Secret

    password = Secret(_password(password_stdin, registry))
    with invocation.session() as session:
        stored = try_and_store(registry, username, password, transport=session.transport, env=session.env)
    for warning in stored.warnings:
        sys.stderr.write(f"warning: {warning}\n")
    if invocation.output == "json":
        document("Login", {"registry": stored.registry, "username": username, "place": stored.place})
    else:
        line(f"logged in to {stored.registry} as {username}; stored in {stored.place}")


def _password(from_stdin: bool, registry: str) -> str:
    if from_stdin:
        try:
            password = sys.stdin.buffer.read().decode().removesuffix("\n").removesuffix("\r")
        except UnicodeDecodeError:
            raise UsageError("the password is not UTF-8 text") from None
    elif sys.stdin.isatty():
        password = str(click.prompt(f"Password for {registry}", hide_input=True, err=True))
    else:
        raise UsageError("nobody is here to type the password", hint="pipe it in, with --password-stdin")
    if not password:
        raise UsageError("the password is empty", hint="what is piped into --password-stdin is the whole password")
    return password
