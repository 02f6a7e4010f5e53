"""A text leads back to its request, by a part of it, for a while; nothing of it is kept that says what it said."""

import pytest

from llmguard.recollection import MOST_WAITING, Recollection, Source
from llmguard.store.memory import MemoryStore
from tests.fakes.clock import FakeClock

pytestmark = pytest.mark.anyio

DAY = 86_400.0
POEM = "the lighthouse keeper counts the ships that pass and writes each name into a book that nobody will ever read"


def source(id: str = "req_1") -> Source:
    return Source(request_id=id, at=1, key="alice", tenant="acme", model="chat", watermark_key="", kept=0)


def made() -> tuple[Recollection, MemoryStore]:
    clock = FakeClock()
    store = MemoryStore(clock=clock)
    return Recollection(b"k" * 32, store.phrases, clock), store


async def test_an_excerpt_leads_to_its_request() -> None:
    recollection, _ = made()
    recollection.note(POEM, source(), DAY)
    recollection.note("another answer about something that has nothing to do with it at all", source("req_2"), DAY)
    found = await recollection.find("He said: " + POEM.upper()[20:], [DAY])
    assert [trace.source.request_id for trace in found] == ["req_1"]
    assert 1 <= found[0].matched <= found[0].source.kept
    assert await recollection.find("a text that was never an answer of ours, whatever it may look like", [DAY]) == []
    assert await recollection.find("too short", [DAY]) == []


async def test_nothing_of_the_text_is_in_the_store() -> None:
    recollection, store = made()
    recollection.note(POEM, source(), DAY)
    await recollection.flush()
    held = repr(store.phrases._periods)
    assert "req_1" in held
    assert "lighthouse" not in held


async def test_a_flood_drops_the_oldest_and_no_more_than_it_must() -> None:
    recollection, _ = made()
    for number in range(MOST_WAITING + 1):
        recollection.note(POEM if number == 0 else f"answer number {number} of a great many answers", source(), DAY)
    assert len(recollection._waiting) == MOST_WAITING
    assert await recollection.find(POEM, [DAY]) == []
