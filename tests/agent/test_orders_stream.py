"""The stream of orders as its reader sees it: whole lines, however they come, and none that waited too long."""

import time
from collections.abc import AsyncIterator

import pytest

from shorthorn.errors import Damaged, Unavailable
from shorthorn.links import server_link


class Content:
    """Stands for a response's body. A number is a pause of the whole process, in seconds."""

    def __init__(self, *parts: bytes | float) -> None:
        self._parts = parts

    async def iter_any(self) -> AsyncIterator[bytes]:
        for part in self._parts:
            if isinstance(part, bytes):
                yield part
            else:
                time.sleep(part)  # noqa: ASYNC251 - a stopped process runs nothing else either


async def lines(*parts: bytes | float) -> list[bytes]:
    return [line async for line in server_link._lines(Content(*parts))]  # type: ignore[arg-type]


async def test_lines_come_in_any_pieces() -> None:
    assert await lines(b"a", b"b\nc\n\n", b"\n", b"d\nrest") == [b"ab", b"c", b"d"]


async def test_what_comes_after_a_long_silence_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_link, "SILENCE_S", 0.2)
    stream = server_link._lines(Content(b"old\n", 0.01, b"older\n", 0.3, b"late\n"))  # type: ignore[arg-type]
    assert [await anext(stream), await anext(stream)] == [b"old", b"older"]
    with pytest.raises(Unavailable, match="nothing was heard for"):
        await anext(stream)


async def test_an_endless_answer_is_not_taken_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_link, "ANSWER_BYTES_MAX", 8)
    assert await server_link._answer(Content(b"1234", b"5678")) == b"12345678"  # type: ignore[arg-type]
    with pytest.raises(Damaged, match="longer than 8 bytes"):
        await server_link._answer(Content(b"12345678", b"9"))  # type: ignore[arg-type]


async def test_an_endless_line_is_not_taken_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_link, "ORDERS_BYTES_MAX", 8)
    with pytest.raises(Damaged, match="longer than 8 bytes"):
        await lines(b"12345678", b"9")
