"""One suite over every store: hashes lead to answers until they are forgotten, and there is room for so many."""

import pytest

from llmguard.store.phrases import PERIODS, Entry
from llmguard.store.store import Store
from tests.fakes.clock import FakeClock

pytestmark = pytest.mark.anyio

DAY = 86_400.0


def some(*numbers: int) -> tuple[bytes, ...]:
    return tuple(number.to_bytes(8, "big") for number in numbers)


async def test_what_was_added_is_found_once_for_each_hash(store: Store) -> None:
    await store.phrases.add([Entry(some(1, 2, 3), b"first", DAY), Entry(some(3, 4), b"second", DAY)])
    assert sorted(await store.phrases.find(some(1, 2, 4, 5), [DAY])) == [b"first", b"first", b"second"]
    assert await store.phrases.find(some(3), [DAY]) == [b"second"]
    assert await store.phrases.find(some(5), [DAY]) == []
    assert await store.phrases.find(some(1), []) == []


async def test_it_is_forgotten_when_its_time_is_over(store: Store, clock: FakeClock) -> None:
    await store.phrases.add([Entry(some(1), b"old", DAY)])
    clock.advance(DAY * 0.99)
    assert await store.phrases.find(some(1), [DAY]) == [b"old"]
    clock.advance(DAY * (0.02 + 1 / PERIODS))
    await store.phrases.add([Entry(some(2), b"new", DAY)])
    assert await store.phrases.find(some(1, 2), [DAY]) == [b"new"]


async def test_durations_are_looked_up_apart(store: Store) -> None:
    await store.phrases.add([Entry(some(1), b"day", DAY), Entry(some(1), b"week", 7 * DAY)])
    assert await store.phrases.find(some(1), [7 * DAY]) == [b"week"]
    assert sorted(await store.phrases.find(some(1), [DAY, 7 * DAY])) == [b"day", b"week"]


async def test_beyond_the_room_nothing_is_added(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store.phrases, "_room", 5)
    await store.phrases.add([Entry(some(1, 2, 3), b"a", DAY)])
    await store.phrases.add([Entry(some(4, 5, 6), b"b", DAY), Entry(some(7, 8), b"c", DAY)])
    assert sorted(await store.phrases.find(some(1, 4, 7), [DAY])) == [b"a", b"c"]


async def test_many_hashes_are_looked_up(store: Store) -> None:
    await store.phrases.add([Entry(some(2500), b"there", DAY)])
    assert await store.phrases.find(some(*range(3000)), [DAY]) == [b"there"]
