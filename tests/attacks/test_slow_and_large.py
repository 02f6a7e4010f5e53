"""A body or a head that does not end, or is too long: answered at the bound, and let go of."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from llmguard import connection, http_protocol
from tests.attacks.malformed import ADMIN, BODIES, JSON_TYPE, head, key, post
from tests.attacks.raw_http import Answer, RawConnection
from tests.fakes.openai_server import FakeOpenAI
from tests.serving import Running, running, tree

pytestmark = pytest.mark.anyio

LIMIT = 4096
READING = [*BODIES, *ADMIN]
CHUNKED = (b"transfer-encoding", b"chunked")


@asynccontextmanager
async def guarded() -> AsyncIterator[tuple[Running, RawConnection]]:
    """A guard that takes bodies of LIMIT bytes, and a connection to it; nothing reaches its upstream."""
    async with FakeOpenAI() as fake:
        settings: dict[str, Any] = tree(fake.url)
        settings["server"] |= {"max_body_bytes": LIMIT}
        async with running(settings) as guard, await RawConnection.to(int(guard.url.rpartition(":")[2])) as client:
            yield guard, client
            async with asyncio.timeout(10):
                while guard.app.running or guard.server.server_state.tasks:
                    await asyncio.sleep(0.01)
        assert fake.requests == []


def sent(path: str, *headers: tuple[bytes, bytes]) -> bytes:
    return head("POST", path, key(path), (b"content-type", JSON_TYPE), *headers)


def length(count: int) -> tuple[bytes, bytes]:
    return b"content-length", b"%d" % count


def refusal(answer: Answer | None) -> tuple[int, str]:
    assert answer is not None
    assert answer.headers["x-request-id"].startswith("req_")
    return answer.status, answer.json["error"]["code"]


@pytest.mark.parametrize("path", READING)
@pytest.mark.parametrize("part", [sent, lambda path, _: sent(path, CHUNKED)])
@pytest.mark.parametrize("begun", [b"", b'5\r\n{"mod\r\n'])
async def test_a_body_that_stalls(path: str, part: Any, begun: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "BODY_TIMEOUT_S", 0.1)
    async with guarded() as (_, client):
        answer = await client.ask(part(path, length(1000)) + begun)
        assert refusal(answer) == (408, "request_timeout")
        assert client.ends
        assert await client.ended() == b""


@pytest.mark.parametrize("path", READING)
async def test_a_body_that_is_too_large_by_its_own_word_is_not_waited_for(path: str) -> None:
    async with guarded() as (_, client):
        answer = await client.ask(sent(path, length(100_000_000)))
        assert refusal(answer) == (413, "request_too_large")
        assert client.ends
        assert await client.ended() == b""


@pytest.mark.parametrize("path", READING)
async def test_a_body_in_chunks_is_refused_as_it_passes_the_limit(path: str) -> None:
    chunk = b"400\r\n" + b" " * 1024 + b"\r\n"
    async with guarded() as (_, client):
        client.write(sent(path, CHUNKED) + chunk * (LIMIT // 1024))
        answer = await client.ask(b"1\r\n \r\n")  # one byte more, and no end
        assert refusal(answer) == (413, "request_too_large")
        assert client.ends
        assert await client.ended() == b""


@pytest.mark.parametrize("path", BODIES)
async def test_a_body_at_the_limit_is_read(path: str) -> None:
    async with guarded() as (_, client):
        answer = await client.ask(post("", path, b"{}".ljust(LIMIT)).data)
        assert refusal(answer) == (400, "invalid_value")
        assert not client.ends


@pytest.mark.parametrize(
    ("path", "status"), [*((path, 413) for path in BODIES), ("/v1/embeddings", 403), ("/v1/unknown", 404)]
)
async def test_an_early_answer_is_not_lost_to_a_client_that_still_sends(path: str, status: int) -> None:
    async with guarded() as (_, client):
        for _ in range(3):
            answer = await client.ask(post("", path, b"x" * 1_000_000).data)
            assert answer is not None
            assert answer.status == status
            assert not client.ends


async def test_a_head_that_stalls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_protocol, "HEAD_TIMEOUT_S", 0.1)
    async with guarded() as (guard, _):
        for begun in (b"", b"\r\n", b"GET /v1/models HTTP/1.1\r\nx: "):
            async with await RawConnection.to(int(guard.url.rpartition(":")[2])) as client:
                client.write(begun)
                assert await client.ended() == b""


async def test_the_next_head_of_a_connection_may_not_stall_either(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_protocol, "HEAD_TIMEOUT_S", 0.1)
    async with guarded() as (_, client):
        answer = await client.ask(head("GET", "/v1/models", key("")), "GET")
        assert answer is not None
        assert answer.status == 200
        client.write(b"GET /v1/mod")
        assert await client.ended() == b""


@pytest.mark.parametrize(
    ("begun", "more"),
    [
        (b"GET /v1/models HTTP/1.1\r\n", b"x-name: " + b"v" * 10_000 + b"\r\n"),
        (b"GET /v1/models HTTP/1.1\r\nx: ", b"v" * 10_000),
        (b"GET /", b"u" * 10_000),
    ],
)
async def test_a_head_without_end(begun: bytes, more: bytes) -> None:
    async with guarded() as (_, client):
        client.write(begun)
        for _ in range(40):
            client.write(more)
        answer = await client.answer("GET")
        assert refusal(answer) == (431, "headers_too_large")
        assert client.ends


async def test_what_is_not_http() -> None:
    async with guarded() as (_, client):
        answer = await client.ask(b"NONSENSE\r\n\r\n", "GET")
        assert refusal(answer) == (400, "invalid_value")
        assert await client.ended() == b""


async def test_pipelined_requests_are_answered_in_order() -> None:
    async with guarded() as (_, client):
        bodies = [b"{}", b"[]", b'{"model":"m"}', b"", b"nonsense"]
        client.write(b"".join(post("", "/v1/chat/completions", body).data for body in bodies))
        answers = [await client.answer() for _ in bodies]
        said = [answer.json["error"]["message"] for answer in answers if answer is not None]
    assert said[:4] == [
        "'model' is missing.",
        "The request body must be an object, not an array.",
        "'messages' is missing.",
        "The request body is empty.",
    ]


async def test_every_answer_has_a_request_id_of_its_own() -> None:
    paths = [*BODIES, "/v1/embeddings", "/v1/models", "/health/live", "/docs", "/openapi.json", "/metrics", "/none"]
    ids = set()
    async with guarded() as (_, client):
        for path in paths:
            for method in ("GET", "HEAD", "POST", "DELETE", "OPTIONS"):
                answer = await client.ask(head(method, path, length(0)), method)
                assert answer is not None
                assert (answer.status == 405) == ("allow" in answer.headers)
                ids.add(answer.headers["x-request-id"])
    assert len(ids) == 5 * len(paths)
