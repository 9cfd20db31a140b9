"""Patterns of host names."""

from __future__ import annotations

__all__ = ["is_public", "matches"]


def matches(pattern: str, name: str) -> bool:
    """Whether ``*`` in the pattern can stand for what the name has there. (`fnmatch` compiles each: 2 ms a start.)"""
    first, *rest = pattern.split("*")
    if not rest:
        return name == pattern
    *middle, last = rest
    if not name.startswith(first) or not name.endswith(last):
        return False
    position, end = len(first), len(name) - len(last)
    for part in middle:
        found = name.find(part, position, end)
        if found < 0:
            return False
        position = found + len(part)
    return position <= end


def is_public(host: str) -> bool:
    """Whether somebody on the internet may find a host (``name[:port]``): a name of the DNS that is nobody's own.

    Whether it is there, and lets them in, is another question.
    """
    name = host.lower().partition(":")[0].rstrip(".")
    first, dot, _ = name.partition(".")
    last = name.rpartition(".")[2]
    return bool(first and dot) and not last.isdigit() and last not in _NOBODYS and "[" not in name


_NOBODYS = frozenset({"localhost", "local", "internal", "lan", "home", "corp", "intranet", "localdomain", "test"})
"""Last parts of names that mean something only inside of a network (RFC 6761, RFC 6762, and customs)."""
