"""Guards send prompts to Redis, a worker judges them, and what it finds holds for every guard."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis

from llmguard.risk.post import ALERTS, GROUP, PARTS, owner_of, part_of, stream_of
from tests.prompts.vocabulary import TEMPLATE_WORDS, tokenizer_file
from tests.redis_server import RedisServer
from tests.risk.site import attack, guarding, seen, settings_at, until, working

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def one_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with RedisServer(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture
def redis(one_redis: RedisServer) -> RedisServer:
    """An empty server."""
    one_redis.clear()
    return one_redis


@pytest.fixture(autouse=True)
def small_vocabulary(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The made-up texts are English under the vocabulary that they are made for."""
    file = tokenizer_file(tmp_path, TEMPLATE_WORDS)
    monkeypatch.setattr("llmguard.risk.build.vocabulary_file", lambda: file)
    monkeypatch.setattr("llmguard.risk.worker.BLOCK_MS", 20)
    monkeypatch.setattr("llmguard.risk.worker.PAUSE_S", 0.05)
    monkeypatch.setattr("llmguard.risk.worker.LEASE_S", 1.0)


async def test_what_a_worker_finds_holds_for_every_guard(redis: RedisServer) -> None:
    settings = settings_at(redis.url, respond=["block"])
    async with guarding(settings) as one, guarding(settings) as other, working(settings):
        for place, text in enumerate(attack(90)):
            await (one if place % 2 else other).send(text)
        await seen(one, "k0", 50)

        async def blocked() -> bool:
            return (await one.send("hello")).status == 429

        await until(blocked)
        assert (await other.send("hello there")).status == 429
        assert (await one.send("hello there", key=3)).status == 200
        shown = await other.operator("risk/key/k0")
        assert shown["state"] == "blocked"
        assert shown["signals"]
        alerts = (await one.operator("alerts"))["data"]
        assert [(alert["before"], alert["state"]) for alert in alerts] == [("normal", "blocked")]
        await other.operator("risk/key/k0/pardon", {})
        assert (await one.send("hello once more")).status == 200
        after = await seen(one, "k0", shown["prompts"] + 1)
        assert (after["state"], after["flagged_at"], after["log10_e"]) == ("normal", None, 0.0)


async def test_a_killed_worker_is_resumed_where_it_was_acknowledged(redis: RedisServer) -> None:
    """The second one rebuilds 40 prompts, judges the 50 that nobody did, and flags where one alone would have."""
    settings, stream = settings_at(redis.url, respond=["throttle"]), attack(90)
    async with guarding(settings) as guard:
        async with working(settings):
            for text in stream:
                await guard.send(text, key=1)
            alone = await seen(guard, "k1", 90)
            await guard.send("a plain question")
        redis.clear()
        async with working(settings):
            for text in stream[:40]:
                await guard.send(text, key=1)
            half = await seen(guard, "k1", 40)
        assert half["flagged_at"] is None
        for text in stream[40:]:
            await guard.send(text, key=1)
        with Redis(port=redis.port) as client:
            (group,) = client.xinfo_groups(stream_of(part_of("t1")))
            assert (group["name"], group["pending"]) == (GROUP.encode(), 0)
            # Delivered to a worker that died before it wrote anything.
            client.xreadgroup(GROUP, "worker", {stream_of(part_of("t1")): ">"}, count=15)
            for part in range(PARTS):
                client.delete(owner_of(part))
        async with working(settings):
            whole = await seen(guard, "k1", 90)
    for report in (whole, alone):
        del report["signals"]["arrival_regularity"]  # of the two runs' own times
    for field in ("prompts", "log10_e", "flagged_after_prompts", "signals"):
        assert whole[field] == alone[field], field
    with Redis(port=redis.port) as client:
        assert client.xlen(ALERTS) == 1


async def test_a_second_worker_waits_and_takes_over(redis: RedisServer) -> None:
    settings = settings_at(redis.url)
    async with working(settings) as first:
        with pytest.raises(TimeoutError):
            async with working(settings, patient_s=0.5):
                raise AssertionError("two workers have one part")
        await first.release()
    async with working(settings):
        pass


async def test_the_stream_holds_no_words(redis: RedisServer) -> None:
    settings = settings_at(redis.url)
    async with guarding(settings) as guard:
        for _ in range(3):
            await guard.send("sesquipedalian words of the committee")

        async def there() -> bool:
            with Redis(port=redis.port) as client:
                return client.xlen(stream_of(part_of("t0"))) == 3

        await until(there)
    with Redis(port=redis.port) as client:
        entries = [fields[b"e"] for _, fields in client.xrange(stream_of(part_of("t0")))]
    assert not any(b"sesqui" in entry or b"k0" in entry for entry in entries)
    assert len(set(entries)) == 3


async def test_detection_takes_no_round_trip_of_its_own(redis: RedisServer) -> None:
    """A request costs one script on the way in and one on the way out; the prompt leaves beside them, unwaited for."""

    def calls() -> dict[str, int]:
        with Redis(port=redis.port) as client:
            stats = client.info("commandstats")
            client.config_resetstat()
        return {name.removeprefix("cmdstat_"): row["calls"] for name, row in stats.items()}

    settings = settings_at(redis.url)
    async with guarding(settings) as guard:
        await guard.send("the first one loads the scripts")
        calls()
        for place in range(10):
            assert (await guard.send(f"question {place}")).status == 200
        found = calls()
    assert found["evalsha"] == 20
    assert found["xadd"] <= 11  # that of the first may come late
    # Scripts call others; of the requests themselves there is nothing else that reads.
    assert not {"eval", "xread", "xreadgroup", "xrange", "mget", "exists"} & set(found)
