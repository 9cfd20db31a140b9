"""The parser of answers: the same bytes give the same result however they arrive, and garbage ends in an error."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from liftlock.errors import TransportError
from liftlock.transport.connection import Connection
from liftlock.transport.http1 import (
    MAX_HEAD,
    BodyReader,
    Dropped,
    Malformed,
    body_reader,
    parse_head,
    read_head,
    request_head,
)


class Feed:
    """Stands for a socket that gives out these pieces, then the end."""

    def __init__(self, pieces: Sequence[bytes]) -> None:
        self.pieces = [piece for piece in pieces if piece]

    def recv(self, size: int, flags: int = 0) -> bytes:
        if not self.pieces:
            return b""
        piece = self.pieces.pop(0)
        if len(piece) > size:
            self.pieces.insert(0, piece[size:])
        return piece[:size]

    def recv_into(self, buffer: memoryview, size: int) -> int:
        piece = self.recv(size)
        buffer[: len(piece)] = piece
        return len(piece)

    def __getattr__(self, name: str) -> Any:
        return lambda *arguments: None


def connection(*pieces: bytes) -> Connection:
    return Connection(cast(socket.socket, Feed(pieces)), 1.0)


def read_all(reader: BodyReader, size: int = 7) -> bytes:
    buffer, body = memoryview(bytearray(size)), b""
    while count := reader.readinto(buffer):
        body += bytes(buffer[:count])
    return body


def outcome(pieces: Sequence[bytes], method: str = "GET", size: int = 7) -> object:
    """Everything that can be said of an answer, or the kind of error that it ends in."""
    wire = connection(*pieces)
    try:
        head = read_head(wire)
        reader = body_reader(wire, method, head)
        body = read_all(reader, size)
    except (Malformed, EOFError, Dropped) as error:
        return type(error)
    rest = bytes(wire.ahead[wire.at :]) + b"".join(cast(Feed, wire.sock).pieces)
    return head.status, list(head.headers), head.keeps_connection, body, reader.ended, rest


def cut(data: bytes, at: list[int]) -> list[bytes]:
    places = sorted({min(place, len(data)) for place in at})
    return [data[start:end] for start, end in zip([0, *places], [*places, len(data)], strict=True)]


names = st.text("abcXYZ-09", min_size=1, max_size=12).map(lambda name: f"X-{name}")
values = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=30)
bodies = st.binary(max_size=60)


@st.composite
def answers(draw: st.DrawFn) -> bytes:
    """A valid answer of any framing, perhaps after interim ones, perhaps followed by another's bytes."""
    head = b"HTTP/1.1 100 Continue\r\n\r\n" * draw(st.integers(0, 2))
    head += b"HTTP/1.1 %d %s\r\n" % (draw(st.sampled_from([200, 201, 401, 404])), draw(values).encode())
    for name, value in draw(st.lists(st.tuples(names, values), max_size=4)):
        head += f"{name}:{value}\r\n".encode()
    body = draw(bodies)
    kind = draw(st.sampled_from(["length", "chunks", "close"]))
    if kind == "length":
        return head + b"Content-Length: %d\r\n\r\n" % len(body) + body + draw(bodies)
    if kind == "close":
        return head + b"\r\n" + body
    head += b"Transfer-Encoding: chunked\r\n\r\n"
    for piece in cut(body, draw(st.lists(st.integers(1, 60), max_size=3))):
        if piece:
            head += b"%x%s\r\n" % (len(piece), draw(st.sampled_from([b"", b";a=b", b' ;q="x"']))) + piece + b"\r\n"
    return head + b"0\r\n" + draw(st.sampled_from([b"", b"X-Sum: 1\r\n"])) + b"\r\n" + draw(bodies)


@given(data=answers(), at=st.lists(st.integers(0, 400), max_size=12), size=st.integers(1, 100))
def test_any_split_of_a_valid_answer_gives_the_same_result(data: bytes, at: list[int], size: int) -> None:
    whole = outcome([data])

    assert isinstance(whole, tuple)
    assert whole == outcome(cut(data, at), size=size)


@given(data=answers(), end=st.integers(0, 400))
def test_a_cut_answer_is_an_error_unless_only_its_end_tells_the_length(data: bytes, end: int) -> None:
    whole, part = outcome([data]), outcome([data[:end]])

    if isinstance(part, tuple):
        assert isinstance(whole, tuple)
        assert part[:2] == whole[:2]
        until_close = b"Content-Length" not in data and b"Transfer-Encoding" not in data
        assert part[3] == whole[3] or (until_close and whole[3].startswith(part[3]))


GARBAGE = (
    *(b"HTTP/1.1 200 OK\r\n", b"HTTP/1.", b"\r\n", b"\n", b"\r", b"0", b"5\r\nhello\r\n", b"A: b\r\n", b" c\r\n"),
    *(b"Content-Length: 5\r\n", b"Transfer-Encoding: chunked\r\n", b"ffffffffffffffffff\r\n", b"-1\r\n"),
    *(b"HTTP/1.1 101 S\r\n\r\n", b"HTTP/1.0 204 \r\n\r\n", b"\0", b"hello", b";", b":", b"\xff"),
)


@given(
    data=st.binary(max_size=200)
    | st.lists(
        st.sampled_from(GARBAGE),
        max_size=12,
    ).map(b"".join),
    at=st.lists(st.integers(0, 200), max_size=12),
)
def test_garbage_never_hangs_and_ends_alike_however_it_is_split(data: bytes, at: list[int]) -> None:
    assert outcome([data]) == outcome(cut(data, at))


@pytest.mark.parametrize(
    "fields",
    [
        b"Content-Length: 5\r\nTransfer-Encoding: chunked",
        b"Content-Length: 5\r\nContent-Length: 6",
        b"Content-Length: 5, 6",
        b"Content-Length: +5",
        b"Content-Length: 0x5",
        b"Content-Length: -1",
        b"Content-Length:",
        b"Content-Length: 5 5",
        b"Content-Length: \xb2",
        b"Content-Length: 99999999999999999999",
        b"Transfer-Encoding: gzip, chunked",
        b"Transfer-Encoding: chunked, chunked",
        b"Transfer-Encoding: identity",
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        b"Transfer-Encoding: xchunked",
        b"Content-Length : 5",
        b"Content Length: 5",
        b"A: b\r\n folded",
        b": x",
        b"A",
        b"A: b\x00c",
        b"A: b\rc",
        b"A: b\nc: d",
    ],
)
def test_what_could_smuggle_or_confuse_is_refused(fields: bytes) -> None:
    assert outcome([b"HTTP/1.1 200 OK\r\n" + fields + b"\r\n\r\nhello"]) is Malformed


@pytest.mark.parametrize(
    "line",
    [
        b"HTTP/1.1 20 X",
        b"HTTP/1.1 2000",
        b"HTTP/2 200",
        b"HTTP/1.2 200 X",
        b"HTTP/1.1  200 X",
        b"HTTP/1.1 999 X",
        b"HTTP/1.1 099 X",
        b"ICY 200 OK",
        b"\x15\x03\x01\x00\x02\x02F",
    ],
)
def test_what_is_no_status_line_is_refused(line: bytes) -> None:
    assert outcome([line + b"\r\n\r\n"]) is Malformed


def test_equal_repeated_lengths_are_one_length() -> None:
    found = outcome([b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5, 5\r\n\r\nhello"])

    assert isinstance(found, tuple)
    assert found[3] == b"hello"


def test_a_head_without_end_is_bounded() -> None:
    pieces = [b"HTTP/1.1 200 OK\r\n"] + [b"A: " + b"b" * 1000 + b"\r\n"] * 1000
    wire = connection(*pieces)

    with pytest.raises(Malformed, match=str(MAX_HEAD)):
        read_head(wire)
    assert len(cast(Feed, wire.sock).pieces) > 900


def test_more_fields_than_anybody_sends_are_refused() -> None:
    assert outcome([b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 201 + b"\r\n"]) is Malformed


def test_trailers_without_end_are_bounded() -> None:
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n"

    assert outcome([head + b"A: b\r\n" * 300 + b"\r\n"]) is Malformed
    assert outcome([head + b"A: " + b"b" * MAX_HEAD + b"\r\n\r\n"]) is Malformed


def test_interim_answers_are_skipped_but_not_for_ever() -> None:
    found = outcome([b"HTTP/1.1 103 Hints\r\nLink: x\r\n\r\nHTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n"])

    assert isinstance(found, tuple)
    assert found[0] == 201
    assert outcome([b"HTTP/1.1 100 C\r\n\r\n" * 50]) is Malformed
    assert outcome([b"HTTP/1.1 101 Switching\r\n\r\n"]) is Malformed


@pytest.mark.parametrize(("method", "status"), [("HEAD", 200), ("GET", 204), ("GET", 304)])
def test_answers_that_have_no_body_have_none_whatever_they_say(method: str, status: int) -> None:
    found = outcome([b"HTTP/1.1 %d X\r\nContent-Length: 5\r\n\r\n" % status], method)

    assert isinstance(found, tuple)
    assert found[3:5] == (b"", True)


@pytest.mark.parametrize(
    ("head", "kept"),
    [
        (b"HTTP/1.1 200 OK", True),
        (b"HTTP/1.1 200 OK\r\nConnection: Close", False),
        (b"HTTP/1.1 200 OK\r\nConnection: foo, close", False),
        (b"HTTP/1.0 200 OK", False),
        (b"HTTP/1.0 200 OK\r\nConnection: keep-alive", True),
    ],
)
def test_whether_the_connection_stays_is_the_servers_word(head: bytes, kept: bool) -> None:
    assert parse_head(head).keeps_connection is kept


@pytest.mark.parametrize(
    ("name", "value"),
    [("A", "b\r\nHost: evil"), ("A\r\nB", "c"), ("Host", "evil"), ("Content-Length", "1"), ("A", "ü"), ("A b", "c")],
)
def test_a_field_that_could_smuggle_is_never_sent(name: str, value: str) -> None:
    with pytest.raises(TransportError):
        request_head("GET", "/", "host", {name: value}, None)
