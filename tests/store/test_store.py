"""What every store does."""

import asyncio
import subprocess
import sys
from collections.abc import Callable

import pytest
from msgspec.structs import replace

from llmguard import keys
from llmguard.settings import StoreSettings
from llmguard.store import open_store
from llmguard.store.store import RETENTION_S, KeyConflict, KeyRecord, Store
from tests.fakes.clock import FakeClock
from tests.store.records import NOW, key, secret

pytestmark = pytest.mark.anyio


async def test_a_key_is_found_by_its_id_and_by_each_secret(store: Store) -> None:
    record = replace(key("key_1", "new", "old"), expires_at=NOW + 60, revoked_at=NOW + 0.125)
    await store.put_key(record)
    assert await store.get_key("key_1") == record
    assert await store.find_key(secret("new").lookup) == record
    assert await store.find_key(secret("old").lookup) == record


async def test_what_was_never_put_is_not_found(store: Store) -> None:
    await store.put_key(key("key_1"))
    assert await store.get_key("key_2") is None
    assert await store.find_key(secret("other").lookup) is None
    assert await store.update_key("key_2", lambda record: record) is None


async def test_keys_are_listed_from_the_oldest(store: Store) -> None:
    records = [key(f"key_{n}", created_at=NOW - n) for n in range(3)]
    for record in records:
        await store.put_key(record)
    assert await store.list_keys() == records[::-1]


async def test_a_long_list_is_whole(store: Store) -> None:
    records = [key(f"key_{n:04}", created_at=NOW + n) for n in range(501)]
    for record in records:
        await store.put_key(record)
    assert await store.list_keys() == records


async def test_a_key_is_never_overwritten(store: Store) -> None:
    revoked = replace(key("key_1"), revoked_at=NOW)
    await store.put_key(revoked)
    with pytest.raises(KeyConflict):
        await store.put_key(key("key_1", "another"))
    assert await store.get_key("key_1") == revoked
    assert await store.find_key(secret("another").lookup) is None


async def test_two_keys_never_share_a_secret(store: Store) -> None:
    await store.put_key(key("key_1", "same"))
    await store.put_key(key("key_2", "own"))
    with pytest.raises(KeyConflict):
        await store.put_key(key("key_3", "same"))
    with pytest.raises(KeyConflict):
        await store.update_key("key_2", lambda record: replace(record, secrets=(secret("same"),)))
    assert await store.list_keys() == [key("key_1", "same"), key("key_2", "own")]
    assert await store.find_key(secret("own").lookup) == key("key_2", "own")


async def test_an_update_moves_the_lookups(store: Store) -> None:
    await store.put_key(key("key_1", "first", "second"))
    changed = await store.update_key(
        "key_1", lambda record: replace(record, secrets=(secret("third"), secret("second")))
    )
    assert changed == key("key_1", "third", "second")
    assert await store.find_key(secret("first").lookup) is None
    assert await store.find_key(secret("second").lookup) == changed
    assert await store.find_key(secret("third").lookup) == changed


async def test_an_update_that_raises_changes_nothing(store: Store) -> None:
    def refuse(record: KeyRecord) -> KeyRecord:
        raise keys.KeyEnded(record.id)

    await store.put_key(key("key_1"))
    with pytest.raises(keys.KeyEnded):
        await store.update_key("key_1", refuse)
    assert await store.get_key("key_1") == key("key_1")
    assert await store.update_key("key_1", lambda record: keys.revoke(record, NOW)) is not None


@pytest.mark.parametrize("end", [{"expires_at": NOW + 60}, {"revoked_at": NOW + 60}])
async def test_a_key_is_listed_for_a_while_after_its_end_and_then_gone(
    store: Store, clock: FakeClock, end: dict[str, float]
) -> None:
    record = KeyRecord("key_1", "alice", "acme", "public", NOW, (secret("key_1"),), **end)
    await store.put_key(record)
    clock.advance(60 + RETENTION_S - 1)
    assert await store.list_keys() == [record]
    clock.advance(1)
    await store.put_key(key("key_2"))
    assert await store.list_keys() == [key("key_2")]
    assert await store.get_key("key_1") is None
    assert await store.find_key(secret("key_1").lookup) is None
    assert await store.update_key("key_1", lambda record: record) is None


async def test_updates_of_one_key_at_a_time_are_all_kept(store: Store) -> None:
    def once_more(record: KeyRecord) -> KeyRecord:
        return replace(record, user=str(int(record.user) + 1))

    await store.put_key(replace(key("key_1"), user="0"))
    async with asyncio.TaskGroup() as group:
        for _ in range(20):
            group.create_task(store.update_key("key_1", once_more))
    record = await store.get_key("key_1")
    assert record is not None
    assert record.user == "20"


async def test_a_revocation_is_never_lost_to_a_rotation(store: Store) -> None:
    def rotation(number: int) -> Callable[[KeyRecord], KeyRecord]:
        return lambda record: keys.rotate(record, f"{number}", pepper=b"p", now=NOW, overlap_s=60)

    for round_ in range(10):
        id = f"key_{round_}"
        await store.put_key(key(id))
        updates = [store.update_key(id, rotation(10 * round_ + n)) for n in range(3)]
        updates.insert(2, store.update_key(id, lambda record: keys.revoke(record, NOW)))
        outcomes = await asyncio.gather(*updates, return_exceptions=True)
        assert all(isinstance(outcome, KeyRecord | keys.KeyEnded) for outcome in outcomes)
        record = await store.get_key(id)
        assert record is not None
        assert record.revoked_at == NOW


async def test_two_stores_in_one_place_see_the_same(store: Store, url: str, clock: FakeClock) -> None:
    other = open_store(StoreSettings(url=url, timeout_ms=5_000), clock=clock)
    await store.put_key(key("key_1"))
    if url == "memory:":  # which is one store's own
        assert await other.find_key(secret("key_1").lookup) is None
        return
    assert await other.find_key(secret("key_1").lookup) == key("key_1")
    await other.update_key("key_1", lambda record: keys.revoke(record, NOW))
    record = await store.find_key(secret("key_1").lookup)
    assert record is not None
    assert record.revoked_at == NOW
    await other.close()


async def test_ping(store: Store) -> None:
    await store.ping()


@pytest.mark.parametrize(
    "url", ["file:", "redis+sentinel://host:26379", "redis+sentinel://host/service/x", "redis+cluster://host/1",
            "redis+cluster://:7000", "redis://host/x"],
)  # fmt: skip
def test_a_url_that_cannot_be_right_is_refused(url: str, clock: FakeClock) -> None:
    with pytest.raises(ValueError, match=r".+"):
        open_store(StoreSettings(url=url), clock=clock)


def test_redis_is_imported_only_for_redis() -> None:
    program = "import sys, llmguard.store, llmguard.keyring, llmguard.admin.keys; sys.exit('redis' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
