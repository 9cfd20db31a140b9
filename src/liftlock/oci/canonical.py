"""Canonical JSON (RFC 8785) for documents without floats: what our own content ids are digests of."""

from __future__ import annotations

import json

from liftlock.typed import Any

__all__ = ["canonical_json"]

MAX_SAFE_INTEGER = (1 << 53) - 1


def canonical_json(value: Any) -> bytes:
    """Serialise: keys sorted by UTF-16 code units, no whitespace, UTF-8.

    Raises `ValueError` on floats, integers beyond 2**53 - 1, lone surrogates and keys that are no strings: they have
    no single canonical form that every reader agrees on.
    """
    return json.dumps(_sorted(value), separators=(",", ":"), ensure_ascii=False).encode()


def _sorted(value: Any) -> Any:
    if isinstance(value, dict):
        if not all(isinstance(key, str) for key in value):
            raise ValueError("keys of canonical JSON are strings")
        return {key: _sorted(value[key]) for key in sorted(value, key=lambda key: key.encode("utf-16-be"))}
    if isinstance(value, (list, tuple)):
        return [_sorted(item) for item in value]
    if isinstance(value, float):
        raise ValueError("canonical JSON here has no floats")
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) > MAX_SAFE_INTEGER:
        raise ValueError(f"{value} is beyond the integers that every JSON reader keeps")
    return value
