"""What only a file can do: be shared by processes, locked, full, broken."""

import asyncio
import os
import resource
import sqlite3
import subprocess
import sys
from pathlib import Path
from threading import Event

import pytest
from msgspec.structs import replace

from llmguard import keys
from llmguard.store.file import FILE, FileStore
from llmguard.store.store import KeyRecord, StoreUnavailable
from tests.fakes.clock import FakeClock
from tests.store.records import NOW, key, secret

pytestmark = pytest.mark.anyio

ANOTHER_PROCESS = """
import asyncio, sys
from pathlib import Path
from msgspec.structs import replace
from llmguard.clock import SystemClock
from llmguard.store.file import FileStore

async def main():
    store = FileStore(Path(sys.argv[1]), clock=SystemClock(), timeout_s=5.0)
    for _ in range(int(sys.argv[2])):
        await store.update_key("key_1", lambda record: replace(record, user=str(int(record.user) + 1)))
    await store.close()

asyncio.run(main())
"""


def opened(directory: Path, timeout_s: float = 5.0) -> FileStore:
    """A store in the directory."""
    return FileStore(directory, clock=FakeClock(), timeout_s=timeout_s)


def another_process(directory: Path, updates: int) -> "subprocess.Popen[bytes]":
    """A process that opens the store and counts `key_1.user` up."""
    return subprocess.Popen([sys.executable, "-W", "error", "-c", ANOTHER_PROCESS, str(directory), str(updates)])


async def test_only_this_user_may_read_it(tmp_path: Path) -> None:
    previous = os.umask(0)
    try:
        store = opened(tmp_path / "above" / "data")
        await store.put_key(key())
    finally:
        os.umask(previous)
    directory = tmp_path / "above" / "data"
    assert directory.stat().st_mode & 0o777 == 0o700
    files = list(directory.iterdir())
    assert {file.name for file in files} == {FILE, f"{FILE}-wal", f"{FILE}-shm"}
    assert all(file.stat().st_mode & 0o777 == 0o600 for file in files)
    await store.close()


async def test_it_is_there_again_after_a_restart(tmp_path: Path) -> None:
    store = opened(tmp_path)
    await store.put_key(key())
    await store.close()
    store = opened(tmp_path)
    assert await store.list_keys() == [key()]
    await store.close()


async def test_processes_may_create_and_change_it_at_once(tmp_path: Path) -> None:
    creators = [another_process(tmp_path / "data", 0) for _ in range(4)]
    assert [process.wait() for process in creators] == [0, 0, 0, 0]
    store = opened(tmp_path / "data")
    await store.put_key(replace(key("key_1"), user="0"))
    writers = [another_process(tmp_path / "data", 25) for _ in range(2)]
    for _ in range(25):
        await store.update_key("key_1", lambda record: replace(record, user=str(int(record.user) + 1)))
    assert [await asyncio.to_thread(process.wait) for process in writers] == [0, 0]
    found = await store.find_key(secret("key_1").lookup)
    assert found is not None
    assert found.user == "75"
    await store.close()


async def test_another_processes_lock_stops_writes_in_time_and_no_reads(tmp_path: Path) -> None:
    store = opened(tmp_path, timeout_s=0.05)
    await store.put_key(key("key_1"))
    other = sqlite3.connect(tmp_path / FILE, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreUnavailable) as raised:
        await store.put_key(key("key_2"))
    assert "locked" in str(raised.value.__cause__)
    assert await store.find_key(secret("key_1").lookup) == key("key_1")
    other.execute("ROLLBACK")
    other.close()
    await store.put_key(key("key_2"))
    await store.close()


@pytest.mark.parametrize("rubbish", [b"no database at all" * 100, b"SQLite format 3\0" + bytes(4096)])
def test_a_file_that_is_no_database_is_unavailable(tmp_path: Path, rubbish: bytes) -> None:
    (tmp_path / FILE).write_bytes(rubbish)
    with pytest.raises(StoreUnavailable) as raised:
        opened(tmp_path)
    assert isinstance(raised.value.__cause__, sqlite3.DatabaseError)


async def test_a_broken_page_is_unavailable(tmp_path: Path) -> None:
    store = opened(tmp_path)
    for n in range(50):
        await store.put_key(key(f"key_{n}"))
    await store.close()
    with sqlite3.connect(tmp_path / FILE) as other:
        ((page,),) = other.execute("SELECT rootpage FROM sqlite_master WHERE name = 'ledger_clock'")
    other.close()
    whole = (tmp_path / FILE).read_bytes()
    broken = bytearray(whole[:4096] + b"\xff" * (len(whole) - 4096))
    (tmp_path / FILE).write_bytes(broken)
    with pytest.raises(StoreUnavailable):
        opened(tmp_path)
    clock = slice(4096 * (page - 1), 4096 * page)
    broken[clock] = whole[clock]
    (tmp_path / FILE).write_bytes(broken)
    store = opened(tmp_path)
    with pytest.raises(StoreUnavailable):
        await store.find_key(secret("key_1").lookup)
    with pytest.raises(StoreUnavailable):
        await store.put_key(key("key_new"))
    await store.close()


async def test_a_record_that_cannot_be_read_is_a_failure_of_the_store(tmp_path: Path) -> None:
    store = opened(tmp_path)
    await store.put_key(key("key_1"))
    with sqlite3.connect(tmp_path / FILE) as other:
        other.execute("UPDATE keys SET record = '{]'")
    other.close()
    with pytest.raises(StoreUnavailable):
        await store.get_key("key_1")
    with pytest.raises(StoreUnavailable):
        await store.update_key("key_1", lambda record: record)
    await store.close()


async def test_a_full_disk_stops_writes_and_no_reads(tmp_path: Path) -> None:
    store = opened(tmp_path)
    await store.put_key(key("key_1"))
    size = (tmp_path / f"{FILE}-wal").stat().st_size
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        with pytest.raises(StoreUnavailable):
            await store.put_key(key("key_2"))
        assert await store.list_keys() == [key("key_1")]
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    await store.put_key(key("key_2"))
    assert await store.list_keys() == [key("key_1"), key("key_2")]
    await store.close()


def test_a_directory_that_cannot_be_made_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreUnavailable):
        opened(tmp_path / "file" / "data")


async def test_a_write_whose_caller_gave_up_is_finished_before_the_next(tmp_path: Path) -> None:
    store = opened(tmp_path)
    await store.put_key(key("key_1"))
    began, go_on = Event(), Event()

    def revoked(record: KeyRecord) -> KeyRecord:
        began.set()
        go_on.wait()
        return keys.revoke(record, NOW)

    given_up = asyncio.ensure_future(store.update_key("key_1", revoked))
    await asyncio.to_thread(began.wait)
    given_up.cancel()
    go_on.set()

    def seen(record: KeyRecord) -> KeyRecord:
        return replace(record, user=f"revoked at {record.revoked_at}")

    record = await store.update_key("key_1", seen)
    assert record is not None
    assert record.user == f"revoked at {NOW}"
    await store.close()


async def test_gone_keys_are_deleted_from_the_file(tmp_path: Path) -> None:
    clock = FakeClock()
    store = FileStore(tmp_path, clock=clock, timeout_s=5.0)
    await store.put_key(key("key_1", expires_at=NOW + 1))
    clock.advance(31 * 86_400)
    await store.put_key(key("key_2"))
    with sqlite3.connect(tmp_path / FILE) as other:
        assert other.execute("SELECT id FROM keys").fetchall() == [("key_2",)]
        assert other.execute("SELECT id FROM lookups").fetchall() == [("key_2",)]
    other.close()
    await store.close()
