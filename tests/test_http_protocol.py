"""The head of an answer: what uvicorn writes, and refuses, for the same fields."""

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from llmguard.http_protocol import Cycle

TOKEN = st.from_regex(rb"[a-z][a-z0-9-]{0,20}", fullmatch=True)
VALUE = st.binary(max_size=30).filter(lambda value: not set(value) & {*range(9), *range(10, 32), 127})
NAMED = st.tuples(TOKEN, VALUE).filter(lambda field: field[0] != b"content-length")
CONNECTIONS = [(b"connection", value) for value in (b"close", b"Keep-Alive, Close", b"upgrade")]
ACTING = st.sampled_from([*CONNECTIONS, (b"transfer-encoding", b"chunked")])
FIELDS = st.lists(NAMED | ACTING, max_size=8)


def written(kind: type[RequestResponseCycle], fields: list[tuple[bytes, bytes]], **of: Any) -> tuple[bytes, Any]:
    """What a cycle writes of an answer with these fields, and what it then knows of it."""
    sent: list[bytes] = []
    state: dict[str, Any] = {"method": "POST", "keep_alive": True} | of
    transport = SimpleNamespace(write=sent.append, close=lambda: sent.append(b"closed"), is_closing=bool)
    cycle = kind(
        scope={"method": state["method"]},  # type: ignore[typeddict-item]
        transport=transport,  # type: ignore[arg-type]
        flow=SimpleNamespace(write_paused=False),  # type: ignore[arg-type]
        logger=None,  # type: ignore[arg-type]
        access_logger=None,  # type: ignore[arg-type]
        access_log=False,
        default_headers=[(b"server", b"x")],
        message_event=SimpleNamespace(set=lambda: None),  # type: ignore[arg-type]
        expect_100_continue=False,
        keep_alive=state["keep_alive"],
        on_response=lambda: None,
    )

    async def answer() -> None:
        await cycle.send({"type": "http.response.start", "status": 200, "headers": fields})
        await cycle.send({"type": "http.response.body", "body": b"body", "more_body": False})

    asyncio.run(answer())
    return b"".join(sent), (cycle.response_complete, cycle.keep_alive, cycle.chunked_encoding)


@given(FIELDS, st.booleans(), st.booleans(), st.sampled_from(["POST", "GET"]))
def test_an_answer_is_written_as_uvicorn_writes_it(
    fields: list[tuple[bytes, bytes]], whole: bool, keep_alive: bool, method: str
) -> None:
    length = [(b"content-length", b"4")] if whole else []
    given = {"keep_alive": keep_alive, "method": method}
    assert written(Cycle, fields + length, **given) == written(RequestResponseCycle, fields + length, **given)


@pytest.mark.parametrize("spell", [lambda bad: (b"x-a", bad), lambda bad: (b"x" + bad, b"a")])
@pytest.mark.parametrize("bad", [b"a\r\nset-cookie: b=1", b"a\nb", b"a\rb", b"a\0b", b"\x7f", b"\r\n\r\n<html>"])
def test_no_field_ends_the_head(spell: Callable[[bytes], tuple[bytes, bytes]], bad: bytes) -> None:
    """Response splitting: refused before a byte is written, by uvicorn and by what stands in for it."""
    for kind in (RequestResponseCycle, Cycle):
        with pytest.raises(RuntimeError):
            written(kind, [(b"content-length", b"4"), spell(bad)])
