"""Every way in which an upstream may misbehave, through the running guard: what the client sees, and what is left."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import aiohttp
import pytest

from tests.asking import ENDS, PROMPT, Answered, ask, figure, until
from tests.fakes import SECRETS, Answer, FakeOpenAI, Fault
from tests.fakes.faults import NAMES
from tests.serving import Running, http, running, tree

pytestmark = pytest.mark.anyio

TIMEOUT_S = 0.5
SOON_S = 1.0
"""What a bound may take beyond its time, on a busy machine."""

FINE = (200, "")
ERROR = (502, "upstream_error")
TIMEOUT = (504, "upstream_timeout")
CUT_ERROR = (200, "upstream_error")
CUT_TIMEOUT = (200, "upstream_timeout")

EXPECTED: dict[str, tuple[tuple[int, str], tuple[int, str]]] = {
    "REFUSE": (ERROR, ERROR),
    "HANG": (TIMEOUT, TIMEOUT),
    "HANG_MID_STREAM": (TIMEOUT, CUT_TIMEOUT),
    "RESET_BEFORE": (ERROR, ERROR),
    "RESET_MID_STREAM": (ERROR, CUT_ERROR),
    "TRUNCATED_BODY": (ERROR, CUT_ERROR),
    "BAD_JSON": (ERROR, CUT_ERROR),
    "WRONG_TYPES": (ERROR, CUT_ERROR),
    "BAD_SSE": (ERROR, CUT_ERROR),
    "ERROR_FRAME": (ERROR, CUT_ERROR),
    "NO_DONE": (FINE, FINE),
    "CUT": (ERROR, CUT_ERROR),
    "EMPTY_200": (ERROR, ERROR),
    "HTML_200": (ERROR, ERROR),
    "REDIRECT": (ERROR, ERROR),
    "GZIP": (ERROR, ERROR),
    "SLOW_DRIP": (TIMEOUT, CUT_TIMEOUT),
    "HUGE_EVENT": (FINE, CUT_ERROR),
    "TOO_MANY_HEADERS": (ERROR, ERROR),
    "USAGE_IN_LAST_CHOICE_CHUNK": (FINE, FINE),
    "NO_USAGE": (FINE, FINE),
    "MULTILINE_SSE": (FINE, FINE),
    "CRLF_SSE": (FINE, FINE),
    "COMMENTS_SSE": (FINE, FINE),
    "SPLIT_UTF8": (FINE, FINE),
}
"""Fault → status and code of a plain answer, and of a streamed one; 200 with a code is a stream that broke."""

STATUSES = {
    **dict.fromkeys((400, 413, 422), (400, "invalid_value")),
    **dict.fromkeys((429, 503, 529), (503, "overloaded")),
    **dict.fromkeys((408, 504), TIMEOUT),
    **dict.fromkeys((401, 403, 404, 500, 502), ERROR),
}
RESPONSES = ("HANG", "RESET_BEFORE", "RESET_MID_STREAM", "HANG_MID_STREAM", "BAD_JSON", "CUT", "NO_DONE", "CRLF_SSE")
SHAPES = [(endpoint, stream) for endpoint in ("chat", "completions", "responses") for stream in (False, True)]
CASES = [(name, *shape) for name in EXPECTED for shape in SHAPES if shape[0] != "responses" or name in RESPONSES]


def settings(fake: FakeOpenAI) -> dict[str, Any]:
    base = tree(fake.url)
    base["upstreams"]["fake"] |= {"timeout_s": TIMEOUT_S, "connect_timeout_s": TIMEOUT_S}
    return base


@pytest.fixture(scope="module")
async def fake() -> AsyncIterator[FakeOpenAI]:
    async with FakeOpenAI() as server:
        yield server


@pytest.fixture(scope="module")
async def guard(fake: FakeOpenAI) -> AsyncIterator[Running]:
    """One guard for all faults: what one of them leaves behind would show in the next."""
    async with running(settings(fake)) as guard:
        yield guard


@pytest.fixture
async def client(guard: Running) -> AsyncIterator[aiohttp.ClientSession]:
    async with http(guard) as client:
        yield client


@pytest.fixture
async def _nothing_left(guard: Running, fake: FakeOpenAI, client: aiohttp.ClientSession) -> AsyncIterator[None]:
    """After a test: no request, no task and no connection that was not there before, and the guard serves."""
    fake.fault, fake.answer = None, Answer()
    fake._script.clear()
    await fake.listen()
    assert (await ask(client)).status == 200
    before = tasks()
    yield
    await until(lambda: not guard.app.running)
    await fake.until(lambda: fake.answering == 0 and fake.connections == fake.idle)
    await until(lambda: tasks() - before - fake._handlers == set())
    fake.fault = None
    await fake.listen()
    assert (await ask(client)).status == 200
    assert await figure(client, "llmguard_in_flight_requests") == 0


def tasks() -> set[asyncio.Task[Any]]:
    """Every task but pytest's own."""
    return {task for task in asyncio.all_tasks() if "TestRunner" not in str(task.get_coro())}


def check(answer: Answered, expected: tuple[int, str], fake: FakeOpenAI) -> None:
    """Whether an answer is the expected one, and tells nothing of the upstream."""
    assert (answer.status, answer.code) == expected
    assert answer.streamed == (answer.status == 200 and "event-stream" in answer.headers["content-type"])
    if answer.code:
        assert PROMPT not in answer.text
        assert not [secret for secret in SECRETS if secret in answer.text]
    elif fake.fault != Fault.HUGE_EVENT:
        assert answer.said == fake.answer.text


def test_every_fault_is_expected_to_do_something() -> None:
    assert {*EXPECTED, "STATUS"} == {*NAMES, "STATUS"}


@pytest.mark.usefixtures("_nothing_left")
@pytest.mark.parametrize(("name", "endpoint", "stream"), CASES)
async def test_fault(
    fake: FakeOpenAI, client: aiohttp.ClientSession, name: str, endpoint: str, *, stream: bool
) -> None:
    fake.fault = getattr(Fault, name)
    began = time.perf_counter()
    answer = await ask(client, endpoint, stream=stream)
    took = time.perf_counter() - began
    check(answer, EXPECTED[name][stream], fake)
    assert answer.streamed == (stream and answer.status == 200)
    if answer.code == "upstream_timeout":
        assert TIMEOUT_S <= took < TIMEOUT_S + SOON_S
    if stream and answer.status == 200 and answer.code:
        assert ENDS[endpoint] not in answer.text


@pytest.mark.usefixtures("_nothing_left")
@pytest.mark.parametrize("html", [False, True], ids=["json", "page"])
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize(("status", "expected"), STATUSES.items())
async def test_status(
    fake: FakeOpenAI, client: aiohttp.ClientSession, status: int, expected: tuple[int, str], *, stream: bool, html: bool
) -> None:
    fake.fault = Fault.STATUS(status, html=html)
    answer = await ask(client, stream=stream)
    check(answer, expected, fake)
    if answer.code == "overloaded":
        assert answer.headers["retry-after"] == ("1" if status == 529 else "7")
    assert answer.headers.get("x-should-retry") == ("false" if answer.status == 400 else None)


@pytest.mark.usefixtures("_nothing_left")
@pytest.mark.parametrize("events", range(7))
@pytest.mark.parametrize("fault", [Fault.RESET_MID_STREAM, Fault.HANG_MID_STREAM, Fault.CUT], ids=str)
async def test_what_came_before_the_fault_is_the_clients(
    fake: FakeOpenAI, client: aiohttp.ClientSession, fault: Fault, events: int
) -> None:
    fake.fault = fault.after(events)
    answer = await ask(client, stream=True)
    assert answer.code == ("upstream_timeout" if fault.name == "HANG_MID_STREAM" else "upstream_error")
    assert answer.status == (200 if events else 502 if answer.code == "upstream_error" else 504)
    if answer.streamed:
        assert len(answer.events) == events + 1
        assert answer.said == "".join(fake.answer.chunks[: events - 1])


@pytest.mark.usefixtures("_nothing_left")
async def test_many_at_once_with_all_kinds_of_faults(fake: FakeOpenAI, client: aiohttp.ClientSession) -> None:
    names = [name for name in EXPECTED if name not in ("REFUSE", "HUGE_EVENT")]
    fake.script(*(getattr(Fault, name) for name in names), *[None] * 20)
    async with asyncio.TaskGroup() as group:
        asked = [group.create_task(ask(client, stream=bool(at % 2))) for at in range(len(names) + 20)]
    codes = {task.result().code for task in asked}
    assert codes == {"", "upstream_error", "upstream_timeout"}
    assert sum(not task.result().code for task in asked) >= 20


@dataclass
class Two:
    """A guard with two upstreams: `chat` at one of them falls back to `spare` at the other."""

    first: FakeOpenAI
    second: FakeOpenAI
    guard: Running
    client: aiohttp.ClientSession

    @property
    def attempts(self) -> tuple[int, int]:
        return len(self.first.requests), len(self.second.requests)

    async def failures(self, upstream: str, code: str) -> float:
        return await figure(self.client, "llmguard_upstream_errors_total", upstream=upstream, code=code)


@pytest.fixture
async def two(_nothing_left: None) -> AsyncIterator[Two]:
    async with FakeOpenAI() as first, FakeOpenAI(Answer(chunks=("spare",))) as second:
        base = settings(first)
        limits = {"timeout_s": TIMEOUT_S, "connect_timeout_s": TIMEOUT_S, "max_retries": 2}
        base["upstreams"] = {
            name: {"kind": "openai", "base_url": fake.url, **limits}
            for name, fake in (("fake", first), ("second", second))
        }
        base["models"]["chat"]["fallbacks"] = ["spare"]
        base["models"]["spare"] = {"task": "chat", "upstream": "second", "model": "spare-upstream-model"}
        async with running(base) as guard, http(guard) as client:
            yield Two(first, second, guard, client)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
class TestAttempts:
    @pytest.mark.parametrize(
        "fault", [Fault.STATUS(500), Fault.STATUS(503), Fault.RESET_BEFORE, Fault.EMPTY_200, Fault.HTML_200], ids=str
    )
    async def test_again(self, two: Two, fault: Fault, *, stream: bool) -> None:
        two.first.script(fault)
        answer = await ask(two.client, stream=stream)
        assert (answer.status, answer.said) == (200, two.first.answer.text)
        assert two.attempts == (2, 0)
        code = "overloaded" if fault == Fault.STATUS(503) else "upstream_error"
        assert await two.failures("fake", code) == 1

    async def test_then_elsewhere(self, two: Two, *, stream: bool) -> None:
        two.first.fault = Fault.STATUS(500)
        answer = await ask(two.client, stream=stream)
        assert (answer.status, answer.said, two.attempts) == (200, "spare", (3, 1))
        assert two.second.requests[0].body["model"] == "spare-upstream-model"
        events = answer.events if stream else [json.loads(answer.text)]
        assert {event["model"] for event in events} == {"chat"}
        assert await two.failures("fake", "upstream_error") == 3

    @pytest.mark.parametrize("fault", [Fault.HANG, Fault.STATUS(504), Fault.STATUS(401), Fault.REDIRECT], ids=str)
    async def test_at_once_elsewhere(self, two: Two, fault: Fault, *, stream: bool) -> None:
        """What timed out may still be at work, and a wrong key stays wrong."""
        two.first.fault = fault
        answer = await ask(two.client, stream=stream)
        assert (answer.said, two.attempts) == ("spare", (1, 1))

    @pytest.mark.parametrize("status", [400, 413, 422])
    async def test_nowhere(self, two: Two, status: int, *, stream: bool) -> None:
        two.first.fault = Fault.STATUS(status)
        answer = await ask(two.client, stream=stream)
        assert (answer.status, answer.code, two.attempts) == (400, "invalid_value", (1, 0))
        assert await two.failures("fake", "invalid_value") == 1

    async def test_the_last_failure_is_told(self, two: Two, *, stream: bool) -> None:
        two.first.fault, two.second.fault = Fault.STATUS(500), Fault.STATUS(503)
        answer = await ask(two.client, stream=stream)
        assert (answer.status, answer.code, two.attempts) == (503, "overloaded", (3, 3))
        assert answer.headers["retry-after"] == "7"
        assert (await two.failures("fake", "upstream_error"), await two.failures("second", "overloaded")) == (3, 3)
        [line] = await two.guard.audit.until(1)
        assert (line["status"], line["code"], line["decision"], line["model"]) == (503, "overloaded", "error", "chat")

    async def test_nobody_listens(self, two: Two, *, stream: bool) -> None:
        two.first.refuse()
        assert (await ask(two.client, stream=stream)).said == "spare"


@pytest.mark.parametrize("fault", [Fault.RESET_MID_STREAM, Fault.HANG_MID_STREAM, Fault.BAD_JSON, Fault.CUT], ids=str)
async def test_never_again_after_the_first_byte(two: Two, fault: Fault) -> None:
    two.first.script(fault)
    answer = await ask(two.client, stream=True)
    assert answer.code in {"upstream_error", "upstream_timeout"}
    assert two.attempts == (1, 0)
    assert await two.failures("fake", answer.code) == 1


async def test_in_flight_requests_are_counted(fake: FakeOpenAI, guard: Running, client: aiohttp.ClientSession) -> None:
    fake.fault = Fault.HANG
    async with asyncio.TaskGroup() as group:
        for _ in range(3):
            group.create_task(ask(client))
        await fake.until(lambda: fake.answering == 3)
        assert await figure(client, "llmguard_in_flight_requests") == 3
        assert guard.app.running == 3
    await until(lambda: not guard.app.running)
    assert await figure(client, "llmguard_in_flight_requests") == 0
