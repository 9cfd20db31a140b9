"""The entry point of ``liftlock-docker``: finds the command, reads its options, and turns what ends it into a code.

Called ``docker`` through a link, or by its own name, it is the same program and speaks of itself as ``docker``. It ends
with Docker's codes: 0, 1 for every failure, 125 for options that docker does not have, 130 and 143 after signals.
"""

from __future__ import annotations

import io
import os
import signal
import sys
from collections.abc import Sequence

from liftlock.ci.docker.commands import COMMANDS, ELSEWHERE, GLOBAL, IMAGE, Command, usage
from liftlock.ci.docker.flags import Flags, parse
from liftlock.ci.docker.run import Run
from liftlock.ci.docker.words import DAEMON, NO_DAEMON_NEEDED, NOT_ITS_JOB, Said
from liftlock.errors import LiftlockError
from liftlock.typed import NoReturn

__all__ = ["main"]

LEVELS = ("debug", "info", "warn", "warning", "error", "fatal", "panic", "trace")


def main() -> NoReturn:
    """Run Docker's command line with the arguments of this process, and end it with docker's exit code."""
    # Python has None for what was closed by who started us.
    sys.stdin = sys.stdin or open(os.devnull)  # noqa: SIM115 - open until the end
    sys.stdout = sys.stdout or open(os.devnull, "w")  # noqa: SIM115
    sys.stderr = sys.stderr or open(os.devnull, "w")  # noqa: SIM115
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A locale that lacks a character is no reason to fail.
        sys.stdout.reconfigure(errors="backslashreplace")
    code = 1
    try:
        code = run(sys.argv[1:])
        sys.stdout.flush()
    except OSError as error:
        if isinstance(error, BrokenPipeError):
            code = 128 + signal.SIGPIPE
        # What is left unwritten has no reader, or no room.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(code)


def run(words: Sequence[str]) -> int:
    """Run a command line; the exit code. Raises `BrokenPipeError` alone."""
    current = Run(dict(os.environ), "docker")
    try:
        _dispatch(current, words)
    except BrokenPipeError:
        raise
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    except Exception as error:  # noqa: BLE001 - the last place where an error can still be told in one sentence
        if current.debug:
            import traceback

            traceback.print_exception(error)
        return _fail(current, error)
    return 0


def _dispatch(current: Run, words: Sequence[str]) -> None:
    given = parse(GLOBAL, words, usage("docker", "[OPTIONS] COMMAND [ARG...]"), interspersed=False)
    _configure(current, given)
    if "version" in given.on:
        from liftlock.ci.docker.version import short_version

        current.say(short_version())
    elif "help" in given.on or not given.arguments:
        from liftlock.ci.docker.help import overview

        overview(current, COMMANDS)
    else:
        _command(current, given.arguments[0], given.arguments[1:])


def _configure(current: Run, given: Flags) -> None:
    level = given.values.get("log-level", "info")
    if level not in LEVELS:
        raise Said(f"Unable to parse logging level: {level}")
    current.debug = "debug" in given.on or level in ("debug", "trace")
    folder = given.values.get("config")
    if folder is not None:
        # What was asked for on the command line comes before any other file with credentials.
        current.env = {name: value for name, value in current.env.items() if name != "REGISTRY_AUTH_FILE"}
        current.env = {**current.env, "DOCKER_CONFIG": folder}


def _command(current: Run, name: str, words: Sequence[str]) -> None:
    if name == "help":
        return _dispatch(current, [*words, "--help"])
    table = COMMANDS
    current.path = f"docker {name}"
    if name == "image":
        given = parse((), words, usage("docker image", "").replace(" \n", "\n"), interspersed=False)
        if "help" in given.on or not given.arguments:
            from liftlock.ci.docker.help import overview

            return overview(current, IMAGE)
        name, words, table = given.arguments[0], given.arguments[1:], IMAGE
        current.path = f"docker image {name}"
    command = table.get(name)
    if command is None:
        raise _unknown(current.path, name)
    _invoke(current, command, words)
    return None


def _invoke(current: Run, command: Command, words: Sequence[str]) -> None:
    given = parse(command.flags, words, usage(current.path, command.synopsis))
    if "help" in given.on:
        from liftlock.ci.docker.help import one

        return one(current, command)
    _check_count(current.path, command, len(given.arguments))
    from importlib import import_module

    module, _, function = command.function.partition(":")
    getattr(import_module(f"liftlock.ci.docker.{module}"), function)(current, given)
    return None


def _check_count(path: str, command: Command, count: int) -> None:
    if command.least <= count and (command.most is None or count <= command.most):
        return
    word = "Run"
    if command.most is None:
        number, wanted, word = command.least, f"requires at least {command.least}", "See"
    elif command.most == 0:
        number, wanted = 0, "accepts no"
    elif command.least == command.most:
        number, wanted = command.least, f"requires {command.least}"
    else:
        number, wanted = command.most, f"requires at most {command.most}"
    noun = "argument" if number == 1 else "arguments"
    raise Said(f"docker: '{path}' {wanted} {noun}\n\n{usage(path, command.synopsis, word)}")


def _unknown(path: str, name: str) -> Said:
    if name not in ELSEWHERE:
        parent = path.removesuffix(f" {name}")
        return Said(f"docker: unknown command: {path}\n\nRun '{parent} --help' for more information")
    # docker run alone ends with 125 when it is not the container that failed.
    return Said(
        NOT_ITS_JOB.format(path=path),
        hint=NO_DAEMON_NEEDED,
        status=125 if path == "docker run" else 1,
    )


def _fail(current: Run, error: Exception) -> int:
    code = 128 + current.signal if current.signal else 1
    if isinstance(error, Said):
        lines, hint = [error.message, *error.detail.splitlines()], error.hint
        code = 128 + current.signal if current.signal else error.exit_code
    elif isinstance(error, LiftlockError):
        lines, hint = [f"{DAEMON}{error}"], error.hint
    elif isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        lines, hint = [f"{DAEMON}{where}{error.strerror or type(error).__name__}"], ""
    else:
        # The exception's own text may hold anything, a secret too: only its type is told.
        lines = [f"{DAEMON}this is a mistake in liftlock-docker: {type(error).__name__}"]
        hint = "run it again with docker -D, and report what it prints"
    if hint:
        lines.append(f"hint: {hint.replace('liftlock login', 'docker login')}")  # which both write the same file
    current.warn("\n".join(lines))
    return code


if __name__ == "__main__":
    main()
