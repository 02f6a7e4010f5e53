"""When answers leave."""

import asyncio
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import ks_2samp

from llmguard import connection
from llmguard.errors import Denial, UpstreamFailure
from llmguard.pace import JITTER, Pace
from llmguard.settings_policies import Outputs, Policy
from tests.fakes.connection import FakeClient
from tests.fakes.upstream import FakeUpstream, Step
from tests.guarded import CHAT, STREAM, Guarded
from tests.serving import OTHER_KEY

pytestmark = pytest.mark.anyio

BUCKET_S = 0.25
OUTPUTS = {"timing_bucket_ms": 250}
POLICIES: dict[str, Any] = {
    "public": {"outputs": OUTPUTS},
    "narrow": {"models": ["other"], "endpoints": ["chat", "models"], "outputs": OUTPUTS},
}
FAILED: list[Step] = [UpstreamFailure(Denial("upstream_error"), retryable=False)]


def bucket(ms: int) -> Policy:
    """A policy with it."""
    return Policy(outputs=Outputs(timing_bucket_ms=ms))


@given(st.integers(1, 60_000), st.floats(0, 1000), st.floats(0, 1, exclude_max=True))
def test_what_is_left_ends_a_little_after_the_next_multiple(ms: int, elapsed: float, chance: float) -> None:
    left = Pace({"p": bucket(ms)}, lambda: chance).left_s("p", elapsed)
    assert 0 < left <= ms / 1000 * (1 + JITTER)
    buckets = (elapsed + left) / (ms / 1000) - chance * JITTER
    assert buckets == pytest.approx(round(buckets), abs=1e-6)


def after(buckets: int, seconds: float) -> bool:
    """Whether an answer that left then left with this bucket."""
    return buckets * BUCKET_S - 1e-9 <= seconds < (buckets + JITTER) * BUCKET_S + 1e-9


@pytest.mark.parametrize(("jitter", "told"), [(0.0, True), (JITTER, False)])
def test_a_microsecond_is_told_from_500_answers_without_chance_and_not_with_it(jitter: float, told: bool) -> None:
    """What is done after the tick takes 5 µs, and half a microsecond more after one of two decisions."""
    rng, bucket_s = np.random.default_rng(3), 0.005
    found = [
        ks_2samp(*(rng.normal(5e-6 + late, 1e-6, 500) + jitter * bucket_s * rng.random(500) for late in (0, 5e-7)))
        for _ in range(100)
    ]
    apart = sum(each.pvalue <= 0.01 for each in found)
    assert apart >= 97 if told else apart <= 3


def test_nobody_waits_as_under_the_slowest_policy_and_nothing_waits_without_a_bucket() -> None:
    pace = Pace({"none": Policy(), "fast": bucket(50), "slow": bucket(200)}, lambda: 0.0)
    assert [pace.left_s(name, 0.01) for name in ("none", "fast", "slow", "")] == pytest.approx([0, 0.04, 0.19, 0.19])
    assert Pace({}, lambda: 0.5).left_s("", 0.01) == 0
    assert Pace({"none": Policy()}, lambda: 0.5).left_s("", 0.01) == 0


async def left_at(guard: Guarded, work_s: float, client: FakeClient) -> float:
    """How long after its head a request's answer begins, where deciding takes `work_s`."""
    start, seen = guard.clock.monotonic(), []
    receive = client.receive

    async def slowly() -> Any:
        message = await receive()
        guard.clock.advance(work_s)
        return message

    client.receive = slowly  # type: ignore[method-assign]
    client.on_send = lambda message: seen.append(guard.clock.monotonic() - start)
    await guard.serve(client)
    assert client.complete
    return seen[0]


@pytest.mark.parametrize(
    ("client", "script", "status"),
    [
        ({"json": CHAT}, ["Hello"], 200),
        ({"json": STREAM}, ["Hello"], 200),
        ({"json": STREAM}, [], 200),
        ({"path": "/v1/models"}, [], 200),
        ({"json": CHAT, "key": "unknown"}, [], 401),
        ({"json": CHAT, "key": None}, [], 401),
        ({"path": "/v1/completions", "json": CHAT, "key": OTHER_KEY}, [], 403),
        ({"json": CHAT, "key": OTHER_KEY}, [], 404),
        ({"json": {**CHAT, "model": "none"}}, [], 404),
        ({"json": {**CHAT, "nonsense": 1}}, [], 400),
        ({"json": CHAT}, FAILED, 502),
        ({"json": STREAM}, FAILED, 502),
    ],
)
@pytest.mark.parametrize("work_s", [0.0, 0.001, 0.2])
async def test_every_answer_leaves_with_a_bucket(
    client: dict[str, Any], script: list[Step], status: int, work_s: float
) -> None:
    guard, asked = Guarded(FakeUpstream(script), policies=POLICIES), FakeClient(**client)
    left = await left_at(guard, work_s, asked)
    assert after(1, left)
    assert asked.status == status
    assert asked.headers["openai-processing-ms"] == str(int(left * 1000))


async def test_a_quotas_refusal_leaves_with_a_bucket() -> None:
    policies = {**POLICIES, "public": {"outputs": OUTPUTS, "limits": [{"per": "key", "of": "requests", "limit": 0}]}}
    asked = FakeClient(json=CHAT)
    assert after(1, await left_at(Guarded(policies=policies), 0.01, asked))
    assert asked.status == 429


async def test_what_takes_longer_than_a_bucket_leaves_with_a_later_one() -> None:
    assert after(2, await left_at(Guarded(policies=POLICIES), 0.26, FakeClient(json=CHAT)))


async def test_without_a_bucket_answers_leave_at_once() -> None:
    assert await left_at(Guarded(), 0.01, FakeClient(json=CHAT)) == pytest.approx(0.01)


class Held(Guarded):
    """The same, with a clock that sleeps until it is told; `asleep` is set meanwhile."""

    def __init__(self, upstream: FakeUpstream | None = None) -> None:
        super().__init__(upstream, policies=POLICIES)
        self.asleep, self.wake = asyncio.Event(), asyncio.Event()

        async def sleep(when: float) -> None:
            self.asleep.set()
            await self.wake.wait()

        self.clock.sleep_until = sleep  # type: ignore[method-assign]


@pytest.mark.parametrize(
    ("client", "code"),
    [
        ({"json": CHAT}, "client_closed_request"),
        ({"json": STREAM}, "client_closed_request"),
        ({"path": "/v1/models"}, "client_closed_request"),
        ({"json": {**CHAT, "model": "none"}}, "model_not_found"),
        ({"json": CHAT, "key": "unknown"}, "invalid_api_key"),
    ],
)
async def test_a_client_that_leaves_meanwhile_is_noticed(
    client: dict[str, Any], code: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "WATCH_AFTER_S", 0)
    guard, asked = Held(), FakeClient(**client)
    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        group.create_task(guard.serve(asked))
        await guard.asleep.wait()
        asked.leave()
    assert asked.sent == []
    assert (guard.audit.line["status"], guard.audit.line["code"]) == (499, code)
    assert guard.upstream.open == 0


@pytest.mark.parametrize("client", [{"json": CHAT}, {"json": STREAM}, {"json": CHAT, "key": "unknown"}])
async def test_the_end_of_the_process_does_not_wait_for_a_bucket(client: dict[str, Any]) -> None:
    guard, asked = Held(), FakeClient(**client)
    serving = asyncio.ensure_future(guard.serve(asked))
    await guard.asleep.wait()
    serving.cancel()
    await serving
    assert asked.complete
    assert (asked.status, asked.error["code"]) == (503, "overloaded")


async def test_who_still_sends_a_long_body_is_told_when_the_bucket_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "LINGER_S", 0)
    guard = Guarded(policies=POLICIES)
    long = FakeClient(blocks=(b"{",), key="unknown", headers={"content-length": str(2**21)})
    assert after(1, await left_at(guard, 0.0, long))
    assert long.status == 401
