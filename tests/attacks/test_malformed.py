"""Whatever a client sends: no 5xx, nothing forwarded that is not valid, an error in the one shape, nothing kept."""

import asyncio
import gc
import json
import logging
import sys
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from typing import Any

import psutil
import pytest

from llmguard import connection, http_protocol
from llmguard.errors import TABLE
from llmguard.wire.chat import ChatRequest
from llmguard.wire.completions import CompletionRequest
from llmguard.wire.request import parse
from tests.attacks.malformed import BODIES, Case, Malformed
from tests.attacks.raw_http import Answer, RawConnection
from tests.fakes.openai_server import FakeOpenAI
from tests.serving import Running, running, tree

pytestmark = pytest.mark.anyio

WARM_UP = 2_000
REQUESTS = 10_000
CONNECTIONS = 16
STALL_S = 0.5
GROWTH = 8 * 1024 * 1024
"""What 8,000 requests may add to the process: its allocators hold more or less after other tests."""
BLOCKS = 4_000
"""What they may add to Python's own blocks of memory: an object kept for every second of them would be found."""

CHAT = "/v1/chat/completions"
SHAPES: dict[str, Any] = {"/v1/chat/completions": ChatRequest, "/v1/completions": CompletionRequest}


def port(guard: Running) -> int:
    return int(guard.url.rpartition(":")[2])


async def quiet(before: set["asyncio.Task[Any]"]) -> None:
    """Wait until no task is left but those of before."""
    async with asyncio.timeout(10):
        while asyncio.all_tasks() - before:
            await asyncio.sleep(0.01)


async def guard_is_idle(guard: Running) -> None:
    """Wait until the server runs no request."""
    async with asyncio.timeout(10):
        while guard.app.running or guard.server.server_state.tasks:
            await asyncio.sleep(0.01)


def strict(body: bytes) -> Any:
    """JSON as it is defined, by another parser than the guard's; raises ValueError."""

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len(dict(pairs)) != len(pairs):
            raise ValueError("a key is given twice")
        return dict(pairs)

    def no_constant(name: str) -> None:
        raise ValueError(name)

    value = json.loads(body.decode(), object_pairs_hook=once, parse_constant=no_constant)
    json.dumps(value, ensure_ascii=False, allow_nan=False).encode()  # no lone surrogate, no infinity
    return value


def check(answer: Answer, case: Case) -> None:
    told = (case.kind, case.data[:600], answer)
    assert answer.status < 500, told
    assert answer.headers["x-request-id"].startswith("req_"), told
    if answer.status < 400 or case.method == "HEAD" or not answer.body:
        return
    assert answer.headers["content-type"] == "application/json", told
    (error,) = answer.json.values()
    assert set(error) == {"message", "type", "param", "code"}, told
    row = TABLE[error["code"]]
    assert (row.status, row.type) == (answer.status, error["type"]), told
    assert error["message"], told
    assert len(answer.body) < 1000, told


class Attack:
    """Sends cases over several connections and checks every answer."""

    def __init__(self, guard: Running, fake: FakeOpenAI, cases: Iterator[Case]) -> None:
        self.answers: Counter[tuple[str, int]] = Counter()
        self.served = 0
        self._port = port(guard)
        self._fake = fake
        self._cases = cases

    async def send(self, count: int) -> None:
        cases = islice(self._cases, count)
        async with asyncio.TaskGroup() as group:
            for _ in range(CONNECTIONS):
                group.create_task(self._client(cases))

    async def _client(self, cases: Iterator[Case]) -> None:
        kept = await RawConnection.to(self._port)
        try:
            for case in cases:
                if not case.whole:
                    await kept.close()  # it would be idle for longer than a head may take
                    async with await RawConnection.to(self._port) as alone:
                        self._account(case, await alone.ask(case.data, case.method))
                    continue
                if not kept.open:
                    kept = await RawConnection.to(self._port)
                answer = await kept.ask(case.data, case.method)
                assert answer is not None, (case.kind, case.data[:600])
                self._account(case, answer)
                if kept.ends:
                    assert await kept.ended() == b"", case
                    await kept.close()
        finally:
            await kept.close()

    def _account(self, case: Case, answer: Answer | None) -> None:
        if answer is None:
            self.answers[case.kind, 0] += 1
            return
        check(answer, case)
        self.answers[case.kind, answer.status] += 1
        if answer.status == 200 and case.path in BODIES:
            self.served += 1
            assert isinstance(strict(case.body), dict), case

    def forwarded(self) -> int:
        """How many requests reached the upstream since the last call; every one of them is valid."""
        for request in self._fake.requests:
            strict(request.raw)
            parse(request.raw, SHAPES[request.path])
        count = len(self._fake.requests)
        self._fake.requests.clear()
        return count


async def test_ten_thousand_malformed_requests(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(connection, "BODY_TIMEOUT_S", STALL_S)
    monkeypatch.setattr(http_protocol, "HEAD_TIMEOUT_S", STALL_S)
    before = asyncio.all_tasks()
    process = psutil.Process()
    with caplog.at_level(logging.ERROR):
        async with FakeOpenAI() as fake, running(tree(fake.url)) as guard:
            attack = Attack(guard, fake, iter(Malformed(seed=1)))
            await attack.send(WARM_UP)
            forwarded = attack.forwarded()
            guard.audit.forget()
            gc.collect()
            warm, blocks = process.memory_info().rss, sys.getallocatedblocks()
            for _ in range(8):
                await attack.send((REQUESTS - WARM_UP) // 8)
                forwarded += attack.forwarded()
                guard.audit.forget()
            gc.collect()
            growth, blocks = process.memory_info().rss - warm, sys.getallocatedblocks() - blocks
            await guard_is_idle(guard)
        await quiet(before)
    print(f"{sum(attack.answers.values())} requests, {forwarded} forwarded")
    print(f"RSS grew by {growth / 2**20:.1f} MiB, by {blocks} blocks")
    print(sorted(attack.answers.items()))
    assert caplog.records == []
    assert sum(attack.answers.values()) == REQUESTS
    # Some changes leave a request valid: those, and no others, were forwarded. A request whose
    # framing is broken is not counted as served, though its body may have been whole.
    assert attack.served <= forwarded < REQUESTS / 4
    assert blocks < BLOCKS
    assert growth < GROWTH


@pytest.mark.parametrize("target", [b"?", b"http://"])
async def test_what_head_is_refused_with_ends_with_its_head(target: bytes) -> None:
    """A client takes what follows it for the next answer."""
    async with FakeOpenAI() as fake, running(tree(fake.url)) as guard:
        for method, body in (("GET", True), ("HEAD", False)):
            async with await RawConnection.to(port(guard)) as client:
                answer = await client.ask(method.encode() + b" " + target + b" HTTP/1.1\r\nhost: guard\r\n\r\n", method)
                assert answer is not None
                assert (answer.status, answer.headers["connection"]) == (400, "close")
                assert bool(answer.body) == body
                assert await client.ended() == b""
