"""Snapshots: whole, private, and refused when a single bit is off."""

import os
from pathlib import Path

import numpy as np
import pytest

from similarity.index import Kind, built, restored
from similarity.snapshot import RECORD, SnapshotError, read, write
from tests.similarity.made import topics

KEY = bytes(range(32))
ARRAYS = {"ids": np.arange(7, dtype=np.int64), "vectors": np.ones((7, 3), np.float32), "none": np.empty((0, 3))}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    write(tmp_path / "one.snapshot", KEY, {"kind": "flat", "count": 7}, ARRAYS)
    return tmp_path / "one.snapshot"


def test_it_gives_back_what_it_was_given(path: Path) -> None:
    about, arrays = read(path, KEY)
    assert about == {"kind": "flat", "count": 7}
    assert arrays.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        assert arrays[name].dtype == array.dtype
        assert np.array_equal(arrays[name], array)


def test_arrays_longer_than_a_record_come_back(tmp_path: Path) -> None:
    long = np.random.default_rng(1).standard_normal(RECORD // 8 * 2 + 5)
    write(tmp_path / "long", KEY, {}, {"a": long, "b": long[:3]})
    _, arrays = read(tmp_path / "long", KEY)
    assert np.array_equal(arrays["a"], long)
    assert np.array_equal(arrays["b"], long[:3])


def test_every_changed_bit_is_noticed(path: Path) -> None:
    whole = path.read_bytes()
    for at in range(0, len(whole), 3):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ (1 << at % 8)]) + whole[at + 1 :])
        with pytest.raises(SnapshotError):
            read(path, KEY)


def test_every_cut_is_noticed(path: Path) -> None:
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(SnapshotError):
            read(path, KEY)
    path.write_bytes(whole + b"\0")
    with pytest.raises(SnapshotError):
        read(path, KEY)


def test_records_cannot_be_dropped_at_their_borders(tmp_path: Path) -> None:
    path = tmp_path / "long"
    write(path, KEY, {}, {"a": np.zeros(RECORD + 10, np.uint8)})
    whole = path.read_bytes()
    path.write_bytes(whole[: -(10 + 16 + 4)])
    with pytest.raises(SnapshotError):
        read(path, KEY)


def test_another_key_opens_nothing(path: Path) -> None:
    with pytest.raises(SnapshotError):
        read(path, bytes(32))
    with pytest.raises(ValueError, match="32"):
        write(path, b"short", {}, ARRAYS)


def test_there_is_none(tmp_path: Path) -> None:
    with pytest.raises(SnapshotError):
        read(tmp_path / "none", KEY)


def test_nothing_of_the_content_shows_and_only_the_owner_reads(tmp_path: Path) -> None:
    vectors = topics(50, 32, 1)
    write(tmp_path / "flat", KEY, {"kind": "flat"}, built(Kind.FLAT, np.arange(50), vectors).parts())
    held = (tmp_path / "flat").read_bytes()
    assert b"vectors" not in held
    assert all(row.tobytes()[:8] not in held for row in vectors)
    assert (tmp_path / "flat").stat().st_mode & 0o777 == 0o600


def test_a_failed_write_leaves_the_old_one(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="space"):
        write(path, KEY, {"kind": "flat", "count": 8}, ARRAYS)
    assert read(path, KEY)[0]["count"] == 7
    assert [file.name for file in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize("kind", list(Kind))
def test_an_index_comes_back_from_its_snapshot(kind: Kind, tmp_path: Path) -> None:
    index = built(kind, np.arange(600), topics(600, 48, 1))
    write(tmp_path / kind, KEY, {"kind": kind}, index.parts())
    about, parts = read(tmp_path / kind, KEY)
    again = restored(Kind(about["kind"]), parts)
    questions = topics(10, 48, 2)
    assert np.array_equal(again.search(questions, 5).ids, index.search(questions, 5).ids)
    again.remove(np.arange(10))
    again.add(np.array([700]), questions[:1])
    assert again.search(questions[:1], 1).ids[0, 0] == 700
