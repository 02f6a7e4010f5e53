from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from msgspec.structs import replace

from tests.watermark.keys.test_record import RECORD
from watermark.keys.registry import FileRegistry, RegistryError


def test_records_outlive_the_process_and_only_the_owner_reads_them(tmp_path: Path):
    path = tmp_path / "keys.json"
    assert FileRegistry(path).records() == ()
    FileRegistry(path).change(lambda records: (*records, RECORD))
    assert FileRegistry(path).records() == (RECORD,)
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_change_that_fails_changes_nothing(tmp_path: Path):
    registry = FileRegistry(tmp_path / "keys.json")
    registry.change(lambda _: (RECORD,))
    with pytest.raises(ZeroDivisionError):
        registry.change(lambda records: records[: 1 // 0])
    assert registry.records() == (RECORD,)


@pytest.mark.parametrize("contents", [b"", b"\xff\x00", b'{"keys": [{}]}', b'{"keys": [], "more": 1}'])
def test_what_is_no_registry_is_said_to_be_none(tmp_path: Path, contents: bytes):
    (tmp_path / "keys.json").write_bytes(contents)
    with pytest.raises(RegistryError, match=r"keys\.json is no key registry"):
        FileRegistry(tmp_path / "keys.json").records()


def test_writers_wait_for_each_other(tmp_path: Path):
    def add(number: int) -> None:
        FileRegistry(tmp_path / "keys.json").change(lambda records: (*records, replace(RECORD, id=str(number))))

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(add, range(40)))
    assert len(FileRegistry(tmp_path / "keys.json").records()) == 40
