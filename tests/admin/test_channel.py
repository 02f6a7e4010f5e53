"""An id on each answer of the FastAPI side, a bound on each body."""

import asyncio

import pytest
from fastapi import FastAPI, Request
from starlette.responses import PlainTextResponse

from llmguard import connection
from llmguard.admin.channel import bounded, stamped
from tests.fakes.connection import FakeClient
from tests.guarded import Guarded

pytestmark = pytest.mark.anyio

LIMIT = 10


async def posted(client: FakeClient, *, guarded: bool = True) -> FakeClient:
    """The answer of an application that reads whatever it is sent."""
    site = FastAPI()

    @site.post("/")
    async def length(request: Request) -> PlainTextResponse:
        return PlainTextResponse(str(len(await request.body())))

    receive = bounded(client.scope, client.receive, LIMIT) if guarded else client.receive
    await site(client.scope, receive, stamped(client.send, "0" * 32))
    return client


async def test_without_it_any_body_is_held_and_with_it_none_beyond_the_limit() -> None:
    body = (b"x" * 5,) * 1000
    assert (await posted(FakeClient("/", blocks=body), guarded=False)).body == b"5000"
    client = await posted(FakeClient("/", blocks=body))
    assert (client.status, client.received, client.headers["connection"]) == (413, 3, "close")


async def test_a_length_beyond_the_limit_is_enough() -> None:
    client = await posted(FakeClient("/", blocks=(b"x",), headers={"content-length": "11"}))
    assert (client.status, client.received) == (413, 0)


@pytest.mark.parametrize("blocks", [(b"",), (b"x" * LIMIT,), (b"x" * 5, b"x" * 5)])
async def test_a_body_within_the_limit_passes(blocks: tuple[bytes, ...]) -> None:
    client = await posted(FakeClient("/", blocks=blocks))
    assert (client.status, client.body) == (200, b"%d" % len(b"".join(blocks)))
    assert client.headers["x-request-id"] == "req_" + "0" * 32


async def test_a_body_that_does_not_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "BODY_TIMEOUT_S", 0)
    async with asyncio.timeout(5):
        assert (await posted(FakeClient("/", unfinished=True))).status == 408


async def test_a_stranger_cannot_make_the_guard_hold_what_it_sends() -> None:
    client = FakeClient("/admin/v1/keys", blocks=(b" " * 65536,) * 100, key="wrong")
    await Guarded().serve(client)
    assert (client.status, client.received) == (413, 5)
