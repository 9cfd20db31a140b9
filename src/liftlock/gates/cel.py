"""Expressions in the Common Expression Language: read, checked, and evaluated within bounds.

Source: https://github.com/cel-expr/cel-spec. This module loads the library, which takes half a second: import it where
an expression is met (`liftlock.gates.expressions` does). The library compares only what is of one kind: ``1 != '1'`` is
an error and not true, so that a mistaken kind never passes a gate.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from celpy import Environment, InterpretedRunner, celtypes
from celpy.adapter import json_to_cel
from celpy.celparser import CELParseError
from celpy.evaluation import CELEvalError, Evaluator, base_functions
from lark import Tree

from liftlock.errors import Cancelled, LiftlockError

__all__ = ["MAX_LENGTH", "check", "evaluate", "uses"]

MAX_LENGTH = 2000
"""Characters of an expression."""
MAX_STEPS = 100_000
"""Parts of an expression that are evaluated, counted again for each item that ``all``, ``map`` and so on go through."""
MAX_SIZE = 1024 * 1024
"""Characters of a text, or items of a list, that an expression may put together."""

_LOOK_EVERY = 1000
"""Steps between two looks at whether somebody asked to stop."""

_MACROS = frozenset({"all", "exists", "exists_one", "filter", "map"})
_FUNCTIONS = frozenset(name for name in base_functions if name[0].isalpha()) | {"dyn", "has"}
_NO_MESSAGES = {"dot_ident", "dot_ident_arg", "member_object"}
"""What is only of use with protocol buffers."""

_OPERATORS = {
    "relation_eq": "==", "relation_ne": "!=", "relation_lt": "<", "relation_le": "<=", "relation_gt": ">",
    "relation_ge": ">=", "relation_in": "in", "addition_add": "+", "addition_sub": "-", "multiplication_mul": "*",
    "multiplication_div": "/", "multiplication_mod": "%", "unary_not": "!", "unary_neg": "-",
}  # fmt: skip

# What the library says of an unforeseen failure holds the values that it was given, and has no place in any log.
logging.getLogger("celpy").setLevel(logging.CRITICAL)


def check(text: str, variables: frozenset[str]) -> None:
    """Raise `ValueError`, as a sentence, for what is no expression or has a name that stands for nothing."""
    if len(text) > MAX_LENGTH:
        raise ValueError(f"it has {len(text)} characters; an expression has at most {MAX_LENGTH}")
    try:
        tree = _tree(text)
    except CELParseError as error:
        where = f"at line {error.line}, column {error.column}" if error.line and error.line > 0 else "at its end"
        raise ValueError(f"it is not an expression: it cannot be read {where}") from None
    except RecursionError:
        raise ValueError("it is not an expression: it is nested too deeply") from None
    known = variables | _bound(tree)
    for part in tree.iter_subtrees():
        if part.data in _NO_MESSAGES:
            raise ValueError("it is not an expression that can be used here: it speaks of messages")
        name = _called(part)
        if name and name not in _FUNCTIONS | (_MACROS if part.data == "member_dot_arg" else frozenset()):
            raise ValueError(f"there is no function {name!r}; there are {', '.join(sorted(_FUNCTIONS | _MACROS))}")
        if part.data == "ident" and str(part.children[0]) not in known | _FUNCTIONS:
            raise ValueError(f"there is no {str(part.children[0])!r}; there are {', '.join(sorted(variables))}")


def evaluate(text: str, values: Mapping[str, Any], cancelled: Callable[[], bool]) -> bool:
    """What an expression that was checked says of these values (what JSON has, and aware datetimes).

    Raises `LiftlockError` when it answers with anything but true or false, cannot be evaluated for these values, or
    takes too long; `Cancelled` when somebody asked to stop.
    """
    budget = _Budget(cancelled)
    try:
        runner = _Runner(_environment(), _tree(text))
        runner.budget = budget
        result = runner.evaluate({name: json_to_cel(value) for name, value in values.items()})
    except CELEvalError as error:
        raise LiftlockError(f"the expression cannot be evaluated: {_sentence(error)}") from None
    except RecursionError:
        raise LiftlockError("the expression, or what it is about, is nested too deeply") from None
    except (ArithmeticError, LookupError, TypeError, ValueError):
        # What such an error says holds the values themselves.
        raise LiftlockError("the expression cannot be evaluated for what it is about") from None
    if not isinstance(result, (bool, celtypes.BoolType)):
        raise LiftlockError("the expression answers with something that is neither true nor false")
    return bool(result)


def uses(text: str, name: str) -> bool:
    """Whether an expression that was checked speaks of this variable."""
    return any(str(part.children[0]) == name for part in _tree(text).find_data("ident"))


class _Budget:
    """What one evaluation may take. Its errors are none that the library takes for a value, and go through it."""

    def __init__(self, cancelled: Callable[[], bool]) -> None:
        self._cancelled = cancelled
        self._steps = 0

    def step(self) -> None:
        self._steps += 1
        if self._steps > MAX_STEPS:
            raise LiftlockError(f"the expression takes more than {MAX_STEPS} steps")
        if self._steps % _LOOK_EVERY == 0 and self._cancelled():
            raise Cancelled("cancelled")

    def made(self, value: object) -> None:
        if isinstance(value, (str, bytes, list)) and len(value) > MAX_SIZE:
            raise LiftlockError(f"the expression puts together more than {MAX_SIZE} characters or items")


class _Bounded(Evaluator):
    """The library's evaluator, which stops when its budget is spent."""

    def __init__(self, ast: Tree[Any], activation: Any, budget: _Budget) -> None:
        super().__init__(ast, activation)
        self._budget = budget

    def sub_evaluator(self, ast: Tree[Any]) -> Evaluator:
        return _Bounded(ast, self.activation, self._budget)

    def visit_children(self, tree: Tree[Any]) -> list[Any]:
        self._budget.step()
        return super().visit_children(tree)

    def addition(self, tree: Tree[Any]) -> Any:
        result = super().addition(tree)
        self._budget.made(result)
        return result


class _Runner(InterpretedRunner):
    budget: _Budget

    def evaluate(self, context: Any) -> Any:
        return _Bounded(self.ast, self.new_activation(), self.budget).evaluate(context)


@lru_cache(maxsize=1)
def _environment() -> Environment:
    return Environment()


@lru_cache(maxsize=256)
def _tree(text: str) -> Tree[Any]:
    return _environment().compile(text)


def _bound(tree: Tree[Any]) -> set[str]:
    """The names that macros give to items: ``x`` in ``list.all(x, x > 1)``."""
    return {
        str(ident.children[0])
        for call in tree.find_data("member_dot_arg")
        if _called(call) in _MACROS and len(call.children) > 2
        for first in [call.children[2].children[0]]
        for ident in first.find_data("ident")
        if len(list(first.scan_values(lambda _: True))) == 1
    }


def _called(part: Tree[Any]) -> str:
    """The function that a part of an expression calls; empty when it calls none."""
    at = {"ident_arg": 0, "member_dot_arg": 1}.get(part.data)
    return "" if at is None else str(part.children[at])


def _sentence(error: CELEvalError) -> str:
    """The library's error for people, without the values that it is about."""
    said = str(error.args[0]) if error.args else ""
    missing = re.fullmatch(r"no such member in mapping: '([\w./-]{1,128})'", said)
    if missing:
        return f"there is no {missing[1]!r}; has(…) says whether there is"
    kinds = [name.lower() for name in re.findall(r"celtypes\.(\w+?)Type'", said)]
    if "no matching overload" in said and kinds:
        operator = next((sign for name, sign in _OPERATORS.items() if f"'{name}'" in said), "a function")
        return f"{operator} is given {' and '.join(kinds)}, which do not fit"
    return {
        "modulus or divide by zero": "it divides by zero",
        "invalid_argument": "an index is out of the list's range",
        "no such key": "there is no such key; 'key' in … says whether there is",
        "return error for overflow": "a number becomes too large, or a text is none that can be converted",
    }.get(said, "its parts do not fit what it is about")
