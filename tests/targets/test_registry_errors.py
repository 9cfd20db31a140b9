"""What a registry's answer means: one table, and nothing unclassified that looks like absence."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from liftlock.errors import (
    AccessDenied,
    Conflict,
    CorruptContent,
    LiftlockError,
    NotFound,
    RegistryError,
    Throttled,
)
from liftlock.targets.registry_errors import ABSENT, MISSING_CONTENT, Answer, failure, is_absent
from liftlock.transport.messages import Headers


def answer(status: int, code: str = "", message: str = "", **headers: str) -> Answer:
    body = json.dumps({"errors": [{"code": code, "message": message}]}).encode() if code else b""
    fields = [(name.replace("_", "-"), value) for name, value in headers.items()]
    return Answer(status, Headers(fields), body, "https://registry.example/v2/")


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        (answer(429), Throttled),
        (answer(403, "TOOMANYREQUESTS"), Throttled),
        (answer(503, retry_after="3"), Throttled),
        (answer(403, "DENIED", retry_after="60"), Throttled),
        (answer(503), RegistryError),
        (answer(500, "UNKNOWN"), RegistryError),
        (answer(401, "UNAUTHORIZED"), AccessDenied),
        (answer(403), AccessDenied),
        (answer(404, "DENIED"), AccessDenied),
        (answer(400, "TAG_INVALID", "cannot be overwritten because the tag is immutable"), Conflict),
        (answer(400, "TAG_INVALID", "no tag has spaces"), RegistryError),
        (answer(409), Conflict),
        (answer(412), Conflict),
        (answer(400, "DIGEST_INVALID"), CorruptContent),
        (answer(400, "SIZE_INVALID"), CorruptContent),
        (answer(404, "MANIFEST_UNKNOWN"), NotFound),
        (answer(404, "name_unknown"), NotFound),
        (answer(404, "NOT_FOUND"), NotFound),
        (answer(404), RegistryError),
        (answer(400, "MANIFEST_UNKNOWN"), RegistryError),
        (answer(404, MISSING_CONTENT), RegistryError),
        (answer(405, "UNSUPPORTED"), RegistryError),
        (answer(302), RegistryError),
    ],
    ids=lambda value: f"{value.status} {' '.join(value.codes)}" if isinstance(value, Answer) else value.__name__,
)
def test_an_answer_is_one_kind_of_error(said: Answer, kind: type[LiftlockError]) -> None:
    error = failure(said, "registry.example/app", "push tag v1")

    assert type(error) is kind
    assert str(said.status) in str(error)
    assert str(error).startswith("registry.example/app: cannot push tag v1: ")


@pytest.mark.parametrize("status", [400, 404])
def test_a_manifests_missing_blob_has_one_code_whatever_the_registry_says(status: int) -> None:
    error = failure(answer(status, "BLOB_UNKNOWN"), "registry.example/app", "push manifest v1")

    assert isinstance(error, RegistryError)
    assert MISSING_CONTENT in error.codes


def test_the_patience_that_a_registry_asks_for_is_passed_on() -> None:
    error = failure(answer(429, retry_after="17"), "registry.example/app", "read manifest v1")

    assert isinstance(error, Throttled)
    assert error.retry_after == 17


@given(
    st.integers(200, 599),
    st.text(max_size=20) | st.sampled_from(["MANIFEST_UNKNOWN", "DENIED", "UNSUPPORTED"]),
    st.text(max_size=50),
)
def test_only_a_404_with_a_known_code_is_absence(status: int, code: str, message: str) -> None:
    said = answer(status, code, message)

    assert is_absent(said) == (status == 404 and code.upper() in ABSENT)
    error = failure(said, "registry.example/app", "read manifest v1")
    assert isinstance(error, NotFound) <= is_absent(said)
    assert error.message.isprintable()


@given(st.binary(max_size=200))
def test_any_body_is_read(body: bytes) -> None:
    error = failure(Answer(418, Headers([]), body, ""), "registry.example/app", "read manifest v1")

    assert "418" in error.message
