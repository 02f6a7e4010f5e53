"""The guard with the models that ship with it, over HTTP; their process is killed, left and crowded."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from llmguard.upstreams.embedded.counting import EmbeddedCounter
from llmguard.upstreams.embedded.embedded import Embedded
from llmguard.upstreams.embedded.models import Models
from llmguard.wire.completions import CompletionRequest
from tests.asking import ask, body, until
from tests.serving import Running, http, running, tree

pytestmark = pytest.mark.anyio

LONG: dict[str, Any] = {"max_tokens": 2000, "stop": None}
START_S = 60.0


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache that has been filled."""
    cache = tmp_path_factory.mktemp("models")
    Models(cache)
    return cache


@pytest.fixture(scope="module")
async def guard(cache: Path) -> AsyncIterator[Running]:
    base = tree("http://unused/v1")
    base["upstreams"] = {"fake": {"kind": "embedded", "max_queue": 1}}
    base["models"] = {"chat": {"task": "chat", "upstream": "fake", "model": "smollm2-135m-instruct"}}
    base["policies"] = {"public": {}}
    base["keys"] = base["keys"][:1]
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = str(Path(__file__).parent.parent)  # for the model's process
    try:
        async with running(base, cache=cache) as guard:
            await until(lambda: model(guard).ready, START_S)
            yield guard
    finally:
        if before is None:
            del os.environ["PYTHONPATH"]
        else:
            os.environ["PYTHONPATH"] = before


@pytest.fixture
async def client(guard: Running) -> AsyncIterator[aiohttp.ClientSession]:
    async with http(guard) as client:
        yield client


def model(guard: Running) -> Embedded:
    """The upstream that runs the models."""
    upstream = guard.app._generation.upstreams["fake"]
    assert isinstance(upstream, Embedded)
    return upstream


def kill(guard: Running) -> int:
    """End the model's process without a farewell."""
    pid = model(guard).pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    return pid


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("endpoint", ["chat", "completions", "responses"])
async def test_it_answers(client: aiohttp.ClientSession, endpoint: str, *, stream: bool) -> None:
    cap = "max_output_tokens" if endpoint == "responses" else "max_tokens"
    async with client.post(
        {"chat": "/v1/chat/completions"}.get(endpoint, f"/v1/{endpoint}"),
        json=body(endpoint, stream=stream, temperature=0.7) | {cap: 4},
    ) as response:
        text = await response.text()
    assert response.status == 200
    assert '"model":"chat"' in text
    assert "smollm2" not in text
    assert "error" not in text.replace('"error":null', "")


async def test_killed_in_a_stream(guard: Running, client: aiohttp.ClientSession) -> None:
    async with client.post("/v1/chat/completions", json=body(stream=True, **LONG)) as response:
        await response.content.readuntil(b"data: ")
        killed = kill(guard)
        rest = await response.text()
    assert response.status == 200
    assert '"code":"upstream_error"' in rest.split("data: ")[-1]
    assert "[DONE]" not in rest
    await until(lambda: model(guard).ready and model(guard).pid != killed, START_S)
    assert (await ask(client, max_tokens=4)).status == 200


async def test_killed_in_an_answer(guard: Running, client: aiohttp.ClientSession) -> None:
    asking = asyncio.ensure_future(ask(client, **LONG))
    await until(lambda: model(guard)._worker._calls)
    kill(guard)
    answer = await asking
    assert (answer.status, answer.code) == (502, "upstream_error")
    # Asked while it starts again, it waits.
    assert (await ask(client, max_tokens=4)).status == 200


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
async def test_a_client_that_leaves_frees_the_model(
    guard: Running, client: aiohttp.ClientSession, *, stream: bool
) -> None:
    asking = asyncio.ensure_future(ask(client, stream=stream, **LONG))
    await until(lambda: model(guard)._worker._calls)
    asking.cancel()
    await until(lambda: not guard.app.running, 1)
    assert not model(guard)._worker._calls
    assert (await ask(client, max_tokens=4)).status == 200
    with pytest.raises(asyncio.CancelledError):
        await asking


async def test_a_full_queue(guard: Running, client: aiohttp.ClientSession) -> None:
    running_and_waiting = [asyncio.ensure_future(ask(client, stream=True, **LONG)) for _ in range(2)]
    await until(lambda: model(guard)._worker._calls and model(guard).waiting == 1)
    answer = await ask(client)
    assert (answer.status, answer.code) == (503, "overloaded")
    assert int(answer.headers["retry-after"]) >= 1
    for asking in running_and_waiting:
        asking.cancel()
    await asyncio.gather(*running_and_waiting, return_exceptions=True)
    await until(lambda: not guard.app.running)
    assert (await ask(client, max_tokens=4)).status == 200


async def test_tokens_are_counted_exactly_under_a_limit(cache: Path) -> None:
    """What an answer used is all that it cost, wherever the model ended it: the rest serves to the last token."""
    base = tree("http://unused/v1")
    base["upstreams"] = {"fake": {"kind": "embedded"}}
    base["models"] = {"chat": {"task": "chat", "upstream": "fake", "model": "smollm2-135m-instruct"}}
    base["keys"] = base["keys"][:1]
    question: dict[str, Any] = {"model": "chat", "prompt": "1, 2, 3, 4, 5, 6, 7, 8,", "max_tokens": 9}
    counter = EmbeddedCounter(cache)
    read = counter.prompt(CompletionRequest(model="smollm2-135m-instruct", prompt=question["prompt"]))
    assert read is not None
    left = 3 * (read + 9)
    base["policies"] = {"public": {"limits": [{"per": "user", "of": "tokens", "limit": left, "every": "1m"}]}}
    async with running(base, cache=cache) as guard, http(guard) as client:
        await until(lambda: model(guard).ready, START_S)
        for _ in range(2):
            async with client.post("/v1/completions", json=question) as answer:
                assert answer.status == 200
                assert answer.headers["x-ratelimit-remaining-tokens"] == str(left - read - 9)
                usage = (await answer.json())["usage"]
            assert usage["prompt_tokens"] == read
            assert 1 <= usage["completion_tokens"] <= 9
            left -= usage["total_tokens"]
        # One token more than is left is refused, and what is left is served.
        question["max_tokens"] = left - read + 1
        async with client.post("/v1/completions", json=question) as answer:
            assert answer.status == 429
            assert 0 < int(answer.headers["retry-after-ms"]) <= 64_000
        question["max_tokens"] = left - read
        async with client.post("/v1/completions", json=question) as answer:
            assert answer.status == 200
            assert answer.headers["x-ratelimit-remaining-tokens"] == "0"
