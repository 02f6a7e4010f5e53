"""The official clients of a guard that challenges them: they go on, and know nothing of it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import openai
import pytest

from llmguard.client import CHALLENGE, HARDEST, MOST, SOLUTION, Solver
from llmguard.quota.challenge import Challenges, hardness
from tests.fakes import FakeOpenAI
from tests.fakes.clock import FakeClock
from tests.serving import ADMIN_TOKEN, KEY, Running, http, running, tree

pytestmark = pytest.mark.anyio

HELLO: Any = [{"role": "user", "content": "hello"}]


@asynccontextmanager
async def challenging() -> AsyncIterator[tuple[Running, FakeOpenAI]]:
    """A guard that holds alice's key challenged."""
    async with FakeOpenAI() as fake:
        fake.go.set()
        async with running(tree(fake.url, policies={"public": {"prompts": {}}, "narrow": {}})) as guard:
            async with http(guard, ADMIN_TOKEN) as session:
                async with session.post("/admin/v1/risk/key/alice/pin", json={"state": "challenged"}) as answer:
                    assert answer.status == 200
            yield guard, fake


def asynchronous(guard: Running, solver: Solver | None) -> openai.AsyncOpenAI:
    """The official client."""
    return openai.AsyncOpenAI(
        base_url=guard.v1, api_key=KEY, max_retries=0, http_client=openai.DefaultAsyncHttpxClient(auth=solver)
    )


async def test_without_the_solver_the_client_is_refused_and_with_it_served() -> None:
    async with challenging() as (guard, fake):
        async with asynchronous(guard, None) as client:
            with pytest.raises(openai.RateLimitError) as raised:
                await client.chat.completions.create(model="chat", messages=HELLO)
            assert raised.value.code == "challenge_required"
        async with asynchronous(guard, Solver()) as client:
            for _ in range(2):
                answer = await client.chat.completions.create(model="chat", messages=HELLO)
                assert answer.choices[0].message.content == fake.answer.text
            stream = await client.chat.completions.create(model="chat", messages=HELLO, stream=True)
            said = "".join([chunk.choices[0].delta.content or "" async for chunk in stream if chunk.choices])
            assert said == fake.answer.text
            assert (await client.responses.create(model="chat", input="hello")).output_text == fake.answer.text
        assert len(fake.requests) == 4
        assert all(SOLUTION not in request.headers for request in fake.requests)


async def test_the_synchronous_client_is_served_too() -> None:
    async with challenging() as (guard, fake):

        def ask() -> str | None:
            solving = openai.DefaultHttpxClient(auth=Solver())
            with openai.OpenAI(base_url=guard.v1, api_key=KEY, max_retries=0, http_client=solving) as client:
                return client.chat.completions.create(model="chat", messages=HELLO).choices[0].message.content

        assert await asyncio.to_thread(ask) == fake.answer.text


def answering(challenge: str, statuses: list[int]) -> httpx.Client:
    """A client of a server that answers with these statuses in turn, each with the challenge."""

    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(statuses.pop(0), headers={CHALLENGE: challenge})

    return httpx.Client(transport=httpx.MockTransport(answer), auth=Solver())


def test_it_does_not_try_for_ever_nor_what_is_too_hard() -> None:
    issue = Challenges(b"k" * 32, FakeClock(), lambda most: most // 1000).issue
    easy, hard = issue("a"), issue("a", 10)
    assert (hardness(hard) or 0) > HARDEST
    left = [429] * 9
    assert answering(easy, left).get("http://guard").status_code == 429
    assert len(left) == 9 - 1 - MOST
    for challenge in (hard, "e30=", "!", ""):
        left = [429] * 3
        assert answering(challenge, left).get("http://guard").status_code == 429
        assert len(left) == 2
    left = [429, 200]
    assert answering(easy, left).get("http://guard").status_code == 200
    left = [503, 200]
    assert answering(easy, left).get("http://guard").status_code == 503
