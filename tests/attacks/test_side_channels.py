"""Sizes and times tell neither what was said nor what was decided."""

from typing import Any

import numpy as np
import pytest

from llmguard.store.store import KeyRecord
from tests.attacks.side_channels import (
    REQUESTS,
    TOPICS,
    accuracy,
    answered_after,
    real_time,
    recorded,
    seen,
    told_apart,
)
from tests.benchmarks import side_channels as benchmark
from tests.fakes.connection import FakeClient
from tests.fakes.openai_server import FakeOpenAI
from tests.guarded import CHAT, COMPLETION, Guarded
from tests.serving import http, running, tree

pytestmark = pytest.mark.anyio

BUCKET_MS = 4
PAIRS = [("unknown key", "no key"), ("unknown model", "forbidden model")]
BARE: dict[str, Any] = {"public": {}, "narrow": {"models": ["other"]}}
PADDED: dict[str, Any] = {**BARE, "public": {"outputs": {"pad_stream": True}}}


def bucketed(ms: int) -> dict[str, Any]:
    """Policies whose answers leave every so many milliseconds."""
    return {name: {**policy, "outputs": {"timing_bucket_ms": ms}} for name, policy in BARE.items()}


@pytest.mark.parametrize(("path", "body"), [("/v1/chat/completions", CHAT), ("/v1/completions", COMPLETION)])
async def test_sizes_of_chunks_tell_the_topic_bare_and_next_to_nothing_of_it_padded(
    path: str, body: dict[str, Any]
) -> None:
    above = [
        accuracy(await seen(path, body, policies, 15, seed=1), await seen(path, body, policies, 25, seed=2))
        - 1 / TOPICS
        for policies in (BARE, PADDED)
    ]
    assert above[0] > 0.5
    assert abs(above[1]) < 0.1 * above[0]


class Deciding(Guarded):
    """A guard that takes longer to decide about one kind of request than about another, by its own clock."""

    def __init__(self, policies: dict[str, Any]) -> None:
        super().__init__(policies=policies)
        self.mean_s = 0.0
        rng, find = np.random.default_rng(5), self.store.find_key

        async def slowly(lookup: str) -> KeyRecord | None:
            self.clock.advance(float(rng.gamma(4.0, self.mean_s / 4)))
            return await find(lookup)

        self.store.find_key = slowly  # type: ignore[method-assign]

    async def times(self, mean_s: float, count: int) -> list[float]:
        """When so many refusals leave, where a decision takes `mean_s` on average."""
        self.mean_s = mean_s
        found: list[float] = []
        for _ in range(count):
            client, start = FakeClient(json=CHAT, **REQUESTS["unknown key"]), self.clock.monotonic()
            client.on_send = lambda message, start=start: found.append(self.clock.monotonic() - start)
            await self.serve(client)
        return [round(found[index], 9) for index in range(0, len(found), 2)]


@pytest.mark.parametrize(("policies", "told"), [(BARE, True), (bucketed(50), False)])
async def test_a_decision_that_takes_twice_as_long_is_seen_bare_and_not_in_buckets(
    policies: dict[str, Any], told: bool
) -> None:
    guard = Deciding(policies)
    found = [told_apart((await guard.times(0.002, 250), await guard.times(0.004, 250))) for _ in range(10)]
    # By chance alone one in a hundred: three of ten once in 9,000 runs.
    assert sum(found) == 10 if told else sum(found) <= 2


@pytest.mark.parametrize("pair", PAIRS)
async def test_unknown_and_forbidden_leave_alike_by_the_real_clock(pair: tuple[str, str]) -> None:
    guard = real_time(Guarded(policies=bucketed(BUCKET_MS)))
    found = [told_apart(await recorded(guard, pair, 40, seed)) for seed in range(6)]
    # By chance alone one in a hundred: two of six once in 700 runs, three once in 50,000.
    assert sum(found) <= 2


async def test_no_refusal_leaves_before_its_bucket_by_the_real_clock() -> None:
    guard = real_time(Guarded(policies=bucketed(BUCKET_MS)))
    for asked in REQUESTS.values():
        assert await answered_after(guard, asked) >= BUCKET_MS / 1000 - 1e-4


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("path", "body"), [("chat/completions", CHAT), ("completions", COMPLETION)])
async def test_a_hit_of_the_upstreams_cache_is_told_bare_and_not_through_the_guard(
    path: str, body: dict[str, Any], stream: bool
) -> None:
    asked = {**body, "stream": True, "stream_options": {"include_usage": True}} if stream else body
    async with FakeOpenAI() as upstream, running(tree(upstream.url)) as guard, http(guard) as client:
        async with client.post(f"{upstream.url}/{path}", json=asked) as answer:
            assert b'"cached_tokens": 2' in await answer.read()
        async with client.post(f"{guard.v1}/{path}", json=asked) as answer:
            told = await answer.read()
    assert b'"prompt_tokens":' in told
    assert b"prompt_tokens_details" not in told
    assert b"cache" not in told


@pytest.mark.parametrize("stream", [False, True])
async def test_a_response_tells_of_no_cache_whether_it_was_hit_or_not(stream: bool) -> None:
    async with FakeOpenAI() as upstream, running(tree(upstream.url)) as guard, http(guard) as client:
        asked = {"model": "chat", "input": "hello", "stream": stream}
        async with client.post(f"{guard.v1}/responses", json=asked) as answer:
            told = await answer.read()
    assert told.count(b'"input_tokens_details":{"cached_tokens":0,"cache_write_tokens":0}') == 1


def test_the_benchmark_measures() -> None:
    for report in (benchmark.padding(), benchmark.request(), benchmark.times(0.0, pairs=10)):
        assert report.rows
        assert not report.failures
    sizes = {row["target"]: int(str(row["bytes"])) for row in benchmark.padding().rows}
    assert sizes["bare"] < sizes["include_obfuscation"] < sizes["pad_stream"] < 500
