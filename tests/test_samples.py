"""Samples are unreadable without the key, few, and forgotten in time."""

import sqlite3
from pathlib import Path
from typing import Any

import pytest

from llmguard.samples import FILE, Sample, Samples, SamplesUnavailable
from llmguard.settings_samples import SampleSettings

KEY, OTHER = bytes(range(32)), bytes(32)


def samples(directory: Path, key: bytes = KEY, **more: Any) -> Samples:
    """Samples in this directory."""
    return Samples(SampleSettings(directory=str(directory), share=1.0, **more), key)


def sample(number: int, prompt: str = "a prompt to review") -> Sample:
    """The sample of one request, a second after the one before."""
    return Sample(f"req_{number}", float(number), "k", "alice", "acme", "public", "chat", "m", prompt)


def test_they_come_back_the_newest_first(tmp_path: Path) -> None:
    kept = samples(tmp_path / "new")
    for number in (1, 3, 2):
        kept.add(sample(number))
    assert kept.read(4.0, 10) == [sample(3), sample(2), sample(1)]
    assert kept.read(4.0, 1) == [sample(3)]


def test_nothing_is_readable_in_the_file(tmp_path: Path) -> None:
    samples(tmp_path).add(sample(1))
    content = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert b"req_1" in content  # so the look would find it
    for secret in (b"prompt", b"alice", b"acme"):
        assert secret not in content
    assert (tmp_path / FILE).stat().st_mode & 0o077 == 0
    with pytest.raises(SamplesUnavailable):
        samples(tmp_path, OTHER).read(2.0, 10)


def test_one_cannot_pass_for_another(tmp_path: Path) -> None:
    kept = samples(tmp_path)
    kept.add(sample(1))
    with sqlite3.connect(tmp_path / FILE) as connection:
        connection.execute("UPDATE samples SET id = 'req_2'")
    with pytest.raises(SamplesUnavailable):
        kept.read(2.0, 10)


def test_there_are_never_more_than_asked_for_nor_longer_ones(tmp_path: Path) -> None:
    kept = samples(tmp_path, most=3, max_characters=5)
    for number in range(9):
        kept.add(sample(number))
    assert [(each.request_id, each.prompt) for each in kept.read(9.0, 10)] == [
        ("req_8", "a pro"),
        ("req_7", "a pro"),
        ("req_6", "a pro"),
    ]


@pytest.mark.parametrize("touch", ["read", "add"])
def test_what_is_too_old_leaves_the_file(tmp_path: Path, touch: str) -> None:
    kept = samples(tmp_path, keep="10s")
    for number in (3, 5):
        kept.add(sample(number))
    if touch == "add":
        kept.add(sample(14))
    else:
        assert [each.request_id for each in kept.read(14.0, 10)] == ["req_5"]
    with sqlite3.connect(tmp_path / FILE) as connection:
        ids = {id for (id,) in connection.execute("SELECT id FROM samples")}
    assert "req_3" not in ids
    assert b"req_3" not in (tmp_path / FILE).read_bytes()


def test_a_file_that_cannot_be_used_is_told(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(b"no database" * 200)
    for use in (lambda: samples(tmp_path).add(sample(1)), lambda: samples(tmp_path).read(1.0, 1)):
        with pytest.raises(SamplesUnavailable):
            use()
    (tmp_path / "taken").touch()
    with pytest.raises(SamplesUnavailable):
        samples(tmp_path / "taken").add(sample(1))
