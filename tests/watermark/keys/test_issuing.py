from pathlib import Path

import numpy as np
import pytest

from tests.watermark.prf.test_murmur3 import collision
from watermark.keys.issuing import UnknownKeyError, collides, issue, revoke, rotate
from watermark.keys.record import KeyRecord, Order
from watermark.keys.registry import FileRegistry

MASTER = bytes(range(32))
ORDER = Order(tenant="acme", model="smollm2", scheme="gumbel-sglang", width=4, vocabulary=49152, tokenizer="ab" * 32)


@pytest.fixture
def registry(tmp_path: Path) -> FileRegistry:
    return FileRegistry(tmp_path / "keys.json")


def yes(record: KeyRecord) -> bool:
    return True


def test_a_key_pins_what_its_mark_depends_on(registry: FileRegistry):
    record = issue(registry, MASTER, ORDER, accept=yes, now=100.0)
    assert registry.records() == (record,)
    assert (record.epoch, record.width, record.tokenizer, record.valid_from) == (1, 4, "ab" * 32, 100.0)
    assert record.marks(100.0)
    assert not record.marks(99.0)
    assert "acme" not in record.id


def test_an_unlucky_key_is_passed_over(registry: FileRegistry):
    record = issue(registry, MASTER, ORDER, accept=lambda candidate: candidate.epoch > 2, now=0.0)
    assert record.epoch == 3


def test_a_key_that_murmur3_cannot_tell_from_anothers_is_passed_over(registry: FileRegistry):
    first = issue(registry, MASTER, ORDER, accept=yes, now=0.0)
    twin = f"{collision(int(first.words[0], 16)):016x}"
    other = FileRegistry(registry._path.with_name("other.json"))
    stranger = KeyRecord(
        tenant="rival",
        model="m",
        scheme="gumbel-sglang",
        width=4,
        vocabulary=9,
        tokenizer="",
        id="x",
        epoch=1,
        words=(twin,),
        valid_from=0.0,
    )
    other.change(lambda _: (stranger,))
    assert twin != first.words[0]
    assert collides(first.key[0], (np.uint64(int(twin, 16)),))
    assert issue(other, MASTER, ORDER, accept=yes, now=0.0).epoch == 2


def test_rotation_ends_one_key_and_begins_the_next(registry: FileRegistry):
    old = issue(registry, MASTER, ORDER, accept=yes, now=0.0)
    new = rotate(registry, MASTER, old.id, accept=yes, now=50.0)
    ended, _ = registry.records()
    assert (new.epoch, new.tenant, ended.valid_to) == (2, "acme", 50.0)
    assert not ended.marks(50.0)
    assert ended.marks(49.0)
    assert new.words != old.words


def test_a_revoked_key_stays_revoked_since_the_first_time(registry: FileRegistry):
    record = issue(registry, MASTER, ORDER, accept=yes, now=0.0)
    assert revoke(registry, record.id, now=5.0).revoked_at == 5.0
    assert revoke(registry, record.id, now=9.0).revoked_at == 5.0
    assert not registry.records()[0].marks(6.0)
    with pytest.raises(UnknownKeyError):
        revoke(registry, "none", now=1.0)
