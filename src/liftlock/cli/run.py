"""Runs a command, and turns whatever ends it into an exit code and, on stderr, one message with a hint.

Exit codes: 0 done, 1 failed, 2 usage, 3 refused by our rules, 4 credentials or rights, 5 not found, 6 conflict,
7 waiting ran out, 8 waiting or changes found, 130 and 143 stopped by SIGINT and SIGTERM, 141 the reader of stdout left.
"""

from __future__ import annotations

import io
import os
import signal
import sys
from collections.abc import Sequence

from liftlock.cli.invocation import Format, Invocation
from liftlock.cli.output import printable
from liftlock.cli.plain import read
from liftlock.errors import ConfigError, LiftlockError, RegistryError, UsageError
from liftlock.typed import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from liftlock.transport.client import Transport

__all__ = ["run"]

COMPLETION_VARIABLE = "_LIFTLOCK_COMPLETE"


def run(arguments: Sequence[str], begun: Transport | None = None) -> int:
    """Run the command line; the exit code. ``begun`` has connections that were opened ahead (`liftlock.cli.ahead`)."""
    instruction = os.environ.get(COMPLETION_VARIABLE)
    if instruction:
        from click.shell_completion import shell_complete

        from liftlock.cli.commands import liftlock

        return shell_complete(liftlock, {}, "liftlock", COMPLETION_VARIABLE, instruction)
    invocation = Invocation(begun)
    try:
        if isinstance(sys.stdout, io.TextIOWrapper):
            # A locale that lacks a character is no reason to fail.
            sys.stdout.reconfigure(errors="backslashreplace")
        plain = read(arguments)
        code = 0
        if plain is not None:
            plain(invocation)
        else:
            code = _by_click(arguments, invocation)
        sys.stdout.flush()
    except BrokenPipeError:
        # `liftlock ls … | head` is no failure worth words; the code is what a shell shows for SIGPIPE.
        return 128 + signal.SIGPIPE
    except KeyboardInterrupt:
        sys.stderr.write("\n")
        return 128 + signal.SIGINT
    except Exception as error:  # noqa: BLE001 - the last place where an error can still be told in one sentence
        return _fail(error, invocation)
    return code


def _by_click(arguments: Sequence[str], invocation: Invocation) -> int:
    """Let click run the command; the exit code. What click says of wrong arguments becomes our `UsageError`."""
    from click.exceptions import Abort, ClickException, Exit, NoArgsIsHelpError

    from liftlock.cli.commands import liftlock

    try:
        with liftlock.make_context("liftlock", list(arguments), obj=invocation) as context:
            liftlock.invoke(context)
    except Exit as stop:
        return stop.exit_code
    except Abort:
        raise KeyboardInterrupt from None
    except NoArgsIsHelpError as error:
        error.show()
        return error.exit_code
    except ClickException as error:
        invocation.debug = False  # nobody wants the traceback of a typing mistake
        if invocation.output == "text":
            # Click reads options only once it knows all of them.
            invocation.output = _output(arguments)
        where = getattr(error, "ctx", None)
        hint = f"{where.command_path} --help shows how it is written" if where else ""
        raise UsageError(error.format_message(), hint=hint) from None
    return invocation.code


def _output(arguments: Sequence[str]) -> Format:
    """The format that arguments ask for which are wrong as a whole."""
    for word, following in zip(arguments, [*arguments[1:], ""], strict=True):
        value = following if word in {"-o", "--output"} else word.removeprefix("--output=").removeprefix("-o")
        if value in {"json", "ndjson"} and value != word:
            return "json"
    return "text"


def _fail(error: Exception, invocation: Invocation) -> int:
    if invocation.debug:
        import traceback

        traceback.print_exception(error)
    failure = _described(error)
    if invocation.signal:
        failure["exitCode"] = 128 + invocation.signal
    if invocation.output != "text":
        import json

        sys.stderr.write(f"{json.dumps({'apiVersion': 'liftlock/v1', 'kind': 'Error', **failure})}\n")
    else:
        lines = f"error: {error if isinstance(error, LiftlockError) else failure['message']}".splitlines()
        if failure.get("hint"):
            lines.append(f"hint: {failure['hint']}")
        sys.stderr.write("".join(f"{printable(line)}\n" for line in lines))
        if not {"GITHUB_ACTIONS", "TF_BUILD"}.isdisjoint(os.environ):
            from liftlock.ci.annotations import annotation

            sys.stderr.write(annotation(os.environ, failure))
    return int(failure["exitCode"])


def _described(error: Exception) -> dict[str, Any]:
    """The error as programs get it; people get its message and hint."""
    if isinstance(error, LiftlockError):
        failure: dict[str, Any] = {"code": error.code, "exitCode": error.exit_code, "message": error.message}
        failure |= {key: value for key, value in (("hint", error.hint), ("side", error.side)) if value}
        if isinstance(error, ConfigError) and error.path:
            failure |= {"path": error.path, "line": error.line}
        if isinstance(error, RegistryError):
            failure |= {"status": error.status, "codes": list(error.codes)}
        return failure
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        return {"code": "failed", "exitCode": 1, "message": f"{where}{error.strerror or type(error).__name__}"}
    # The exception's own text may hold anything, a secret too: only its type and place are told.
    return {
        "code": "internal",
        "exitCode": 1,
        "message": f"this is a mistake in liftlock: {type(error).__name__} at {_place(error)}",
        "hint": "run it again with --debug, and report what it prints",
    }


def _place(error: Exception) -> str:
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None:
        return "an unknown place"
    return f"{'/'.join(trace.tb_frame.f_code.co_filename.split('/')[-2:])}:{trace.tb_lineno}"
