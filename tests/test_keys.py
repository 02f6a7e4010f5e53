"""The life of a key, and that its hash and its comparison give nothing away."""

import hashlib
import hmac
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from llmguard import keys
from llmguard.store.store import KeyRecord, KeySecret
from tests.fakes.random_bytes import RandomBytes

PEPPER = b"pepper" * 6
NOW = 1_800_000_000.0


def issued(expires_at: float | None = None, seed: str = "seed") -> tuple[KeyRecord, str]:
    """A key made at `NOW`."""
    return keys.issue(
        "alice", "acme", "public", pepper=PEPPER, now=NOW, expires_at=expires_at, random=RandomBytes(seed)
    )


def accepted(record: KeyRecord, secret: str, now: float = NOW) -> bool:
    """Whether the secret opens the key."""
    return keys.valid(record, keys.digest(PEPPER, secret.encode()), now)


def rotated(record: KeyRecord, secret: str, now: float = NOW, overlap_s: float = 60.0) -> KeyRecord:
    """The key with `secret` added."""
    return keys.rotate(record, secret, pepper=PEPPER, now=now, overlap_s=overlap_s)


def test_derived_keys_are_the_documented_ones() -> None:
    expected = hmac.new(b"master", b"llmguard/keys", hashlib.sha256).digest()
    assert keys.derive(b"master", "keys") == expected
    assert keys.derive(b"master", "noise") != expected
    assert keys.derive(b"other", "keys") != expected


def test_a_secret_is_32_random_bytes_behind_our_prefix() -> None:
    assert keys.new_secret(lambda n: b"\xff" * n) == "lg-" + "_" * 42 + "8"
    assert re.fullmatch(r"lg-[A-Za-z0-9_-]{43}", issued()[1])


def test_an_issued_key_is_whose_it_was_asked_for() -> None:
    record, _ = issued(expires_at=NOW + 60)
    assert re.fullmatch(r"key_[0-9a-f]{16}", record.id)
    assert keys.public(record) == {
        "id": record.id,
        "user": "alice",
        "tenant": "acme",
        "policy": "public",
        "created_at": 1_800_000_000,
        "expires_at": 1_800_000_060,
        "revoked_at": None,
    }


def test_the_record_does_not_hold_the_secret() -> None:
    record, secret = issued()
    assert secret not in repr(record)
    assert record.secrets == (KeySecret(hmac.digest(PEPPER, secret.encode(), "sha256")),)
    assert not keys.valid(record, keys.digest(b"other pepper", secret.encode()), NOW)


def test_only_its_own_secret_opens_a_key() -> None:
    record, secret = issued()
    assert accepted(record, secret)
    assert not accepted(record, secret[:-1])
    assert not accepted(record, issued(seed="other")[1])
    assert not accepted(record, "")
    assert not keys.valid(record, keys.NO_DIGEST, NOW)


def test_a_key_is_valid_until_the_instant_of_its_expiry() -> None:
    record, secret = issued(expires_at=NOW + 60)
    assert accepted(record, secret, NOW + 59.999)
    assert not accepted(record, secret, NOW + 60)


def test_a_revoked_key_is_void_and_keeps_its_first_revocation() -> None:
    record, secret = issued()
    revoked = keys.revoke(record, NOW + 1)
    assert not accepted(revoked, secret)
    assert keys.revoke(revoked, NOW + 2).revoked_at == NOW + 1


def test_after_a_rotation_both_secrets_are_valid_for_the_overlap() -> None:
    record, old = issued()
    record = rotated(record, "new", overlap_s=60)
    assert accepted(record, old, NOW + 59)
    assert accepted(record, "new", NOW + 59)
    assert not accepted(record, old, NOW + 60)
    assert accepted(record, "new", NOW + 60)


def test_a_rotation_without_overlap_ends_the_old_secret_at_once() -> None:
    record, old = issued()
    assert not accepted(rotated(record, "new", overlap_s=0), old)


def test_a_rotation_never_prolongs_an_old_secret() -> None:
    record, old = issued()
    record = rotated(rotated(record, "second", overlap_s=60), "third", overlap_s=3600)
    assert not accepted(record, old, NOW + 60)
    assert accepted(record, "second", NOW + 3599)


def test_void_secrets_leave_the_record() -> None:
    record = rotated(issued()[0], "second", overlap_s=60)
    assert len(rotated(record, "third", now=NOW + 60).secrets) == 2


@given(st.lists(st.floats(0, 100), max_size=12))
def test_however_often_it_is_rotated_the_newest_secret_is_valid_and_few_are_kept(overlaps: list[float]) -> None:
    record, newest = issued()
    for number, overlap_s in enumerate(overlaps):
        newest = f"secret {number}"
        record = rotated(record, newest, overlap_s=overlap_s)
    assert accepted(record, newest)
    assert len(record.secrets) <= keys.MAX_SECRETS


@pytest.mark.parametrize("end", [{"revoked_at": NOW}, {"expires_at": NOW}])
def test_an_ended_key_cannot_be_rotated(end: dict[str, float]) -> None:
    with pytest.raises(keys.KeyEnded):
        rotated(replace(issued()[0], **end), "new")


def test_every_check_compares_as_often_whatever_matches(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[bytes] = []

    def counted(one: bytes, other: bytes) -> bool:
        compared.append(one)
        return one == other

    record, first = issued()
    twice = rotated(record, "second")
    expired = replace(record, expires_at=NOW - 1)
    monkeypatch.setattr(hmac, "compare_digest", counted)
    for checked, secret in [
        (record, first), (record, "wrong"), (twice, first), (twice, "second"), (twice, "wrong"),
        (keys.revoke(twice, NOW), first), (expired, first), (expired, "wrong"),
    ]:  # fmt: skip
        compared.clear()
        accepted(checked, secret)
        assert len(compared) == keys.MAX_SECRETS


def test_when_a_secret_ends_by_itself() -> None:
    record, old = issued(expires_at=NOW + 100)
    digest_of = {name: keys.digest(PEPPER, name.encode()) for name in (old, "new")}
    assert keys.ends_at(issued()[0], digest_of[old]) is None
    assert keys.ends_at(record, digest_of[old]) == NOW + 100
    record = rotated(record, "new", overlap_s=60)
    assert keys.ends_at(record, digest_of[old]) == NOW + 60
    assert keys.ends_at(record, digest_of["new"]) == NOW + 100
