"""Options as docker's command line reads them (spf13/pflag): anywhere among the arguments, short ones combined."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from liftlock.ci.docker.words import Said
from liftlock.typed import Literal, NamedTuple

__all__ = ["Flag", "Flags", "parse"]

WRONG_FLAG = 125
"""What docker exits with when it does not understand an option."""
_TRUTHS = {
    **dict.fromkeys(("1", "t", "T", "TRUE", "true", "True"), True),
    **dict.fromkeys(("0", "f", "F", "FALSE", "false", "False"), False),
}
"""Go's ``strconv.ParseBool``."""


class Flag(NamedTuple):
    """One option. ``refused`` says why it is not served here, though docker has it; it is then no help's business."""

    name: str
    short: str = ""
    help: str = ""
    kind: Literal["bool", "string"] = "bool"
    refused: str = ""


class Flags(NamedTuple):
    """What was given: switches that are on, values by the name of their option, and the arguments between."""

    on: frozenset[str]
    values: Mapping[str, str]
    arguments: Sequence[str]


HELP = Flag("help", "h", "Print usage")


def parse(flags: Sequence[Flag], words: Sequence[str], usage: str, *, interspersed: bool = True) -> Flags:
    """Read the words; raises `Said` with docker's complaint and ``usage`` below it.

    Without ``interspersed`` the first argument ends the options: what follows is a command's own.
    """
    reader = _Reader([*flags, HELP], words, usage)
    reader.read(interspersed)
    return Flags(frozenset(reader.on), reader.values, reader.arguments)


class _Reader:
    def __init__(self, flags: Sequence[Flag], words: Sequence[str], usage: str) -> None:
        self._long = {flag.name: flag for flag in flags}
        self._short = {flag.short: flag for flag in flags if flag.short}
        self._words = list(words)
        self._usage = usage
        self.on: set[str] = set()
        self.values: dict[str, str] = {}
        self.arguments: list[str] = []

    def read(self, interspersed: bool) -> None:
        while self._words:
            word = self._words.pop(0)
            if word == "--":
                break
            if word.startswith("--"):
                self._read_long(word)
            elif word.startswith("-") and word != "-":
                self._read_short(word[1:])
            else:
                self.arguments.append(word)
                if not interspersed:
                    break
        self.arguments += self._words

    def _read_long(self, word: str) -> None:
        name, equals, value = word[2:].partition("=")
        flag = self._long.get(name)
        if flag is None:
            raise self._wrong(f"unknown flag: --{name}")
        if flag.kind == "bool":
            self._switch(flag, value if equals else "true")
        elif equals:
            self._set(flag, value)
        elif self._words:
            self._set(flag, self._words.pop(0))
        else:
            raise self._wrong(f"flag needs an argument: --{name}")

    def _read_short(self, letters: str) -> None:
        while letters:
            letter, rest = letters[0], letters[1:]
            flag = self._short.get(letter)
            if flag is None:
                raise self._wrong(f"unknown shorthand flag: '{letter}' in -{letters}")
            if flag.kind == "bool" and not rest.startswith("="):
                self._switch(flag, "true")
                letters = rest
                continue
            if rest:
                value = rest.removeprefix("=")
            elif self._words:
                value = self._words.pop(0)
            else:
                raise self._wrong(f"flag needs an argument: '{letter}' in -{letters}")
            self._switch(flag, value) if flag.kind == "bool" else self._set(flag, value)
            return

    def _switch(self, flag: Flag, value: str) -> None:
        on = _TRUTHS.get(value)
        if on is None:
            shown = f"-{flag.short}, --{flag.name}" if flag.short else f"--{flag.name}"
            reason = f'strconv.ParseBool: parsing "{value}": invalid syntax'
            raise self._wrong(f'invalid argument "{value}" for "{shown}" flag: {reason}')
        if on:
            self._served(flag)
        (self.on.add if on else self.on.discard)(flag.name)

    def _set(self, flag: Flag, value: str) -> None:
        self._served(flag)
        self.values[flag.name] = value

    def _served(self, flag: Flag) -> None:
        if flag.refused:
            raise Said(f"docker: --{flag.name} is not served by liftlock-docker: {flag.refused}", status=1)

    def _wrong(self, complaint: str) -> Said:
        return Said(f"{complaint}\n\n{self._usage}", status=WRONG_FLAG)
