"""For clients: solves the guard's challenges by itself, so that an SDK needs to know nothing of them.

    import httpx
    import openai
    from llmguard.client import Solver

    client = openai.OpenAI(base_url=..., api_key=..., http_client=openai.DefaultHttpxClient(auth=Solver()))

A client's own module: it needs httpx (`pip install 'llmguard[client]'`), which the guard does not, and nothing of the
guard imports it.
"""

import asyncio
from collections.abc import AsyncGenerator, Generator
from typing import Final

import httpx

from llmguard.quota.challenge import hardness, solve

TOO_MANY_REQUESTS: Final = 429
CHALLENGE: Final = "x-llmguard-challenge"
SOLUTION: Final = "x-llmguard-solution"
MOST: Final = 3
"""Challenges that are solved for one request: one may end, or become harder, while it is solved."""
HARDEST: Final = 8_000_000
"""A challenge of more numbers than that is left alone: it would take a client some seconds."""


class Solver(httpx.Auth):
    """Sends a refused request again with the work that it was refused for. It leaves every other answer as it is."""

    requires_request_body = True

    def sync_auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Solve where the caller waits."""
        response = yield request
        for _ in range(MOST):
            challenge = _of(response)
            if challenge is None:
                return
            request.headers[SOLUTION] = solve(challenge)
            response = yield request

    async def async_auth_flow(self, request: httpx.Request) -> AsyncGenerator[httpx.Request, httpx.Response]:
        """Solve in a thread: others go on."""
        response = yield request
        for _ in range(MOST):
            challenge = _of(response)
            if challenge is None:
                return
            request.headers[SOLUTION] = await asyncio.to_thread(solve, challenge)
            response = yield request


def _of(response: httpx.Response) -> str | None:
    """The challenge in an answer; None where there is none, or none to be solved in reasonable time."""
    challenge = response.headers.get(CHALLENGE)
    if response.status_code != TOO_MANY_REQUESTS or challenge is None:
        return None
    most = hardness(challenge)
    return challenge if most is not None and most <= HARDEST else None
