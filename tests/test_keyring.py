"""Who presents a valid key is found; who does not learns nothing, not even from the work it makes."""

import hmac
from collections import Counter

import pytest
from pydantic import SecretStr

from llmguard import keyring as module
from llmguard import keys
from llmguard.issuer import Issuer
from llmguard.keyring import Keyring
from llmguard.settings import ConfiguredKey
from llmguard.store.store import KeyRecord, KeySecret, StoreUnavailable
from tests.fakes.clock import FakeClock
from tests.fakes.random_bytes import RandomBytes
from tests.fakes.store import FakeStore

pytestmark = pytest.mark.anyio

PEPPER = b"pepper" * 6


def configured(id: str = "alice-laptop", secret: str = "alices-secret") -> ConfiguredKey:
    """A key that stands in the file."""
    return ConfiguredKey(id=id, secret=SecretStr(secret), user="alice", tenant="acme", policy="public")


class Door:
    """A keyring over a counting store, and an issuer of its keys."""

    def __init__(self, *configured: ConfiguredKey) -> None:
        self.clock = FakeClock()
        self.store = FakeStore(self.clock)
        self.issuer = Issuer(self.store, PEPPER, self.clock, random=RandomBytes())
        self.keyring = Keyring(configured, self.store, PEPPER, self.clock)

    async def issue(self, expires_in_s: float | None = None) -> tuple[KeyRecord, str]:
        """A key of the store."""
        return await self.issuer.issue("bob", "acme", "public", expires_in_s)


async def test_an_issued_key_is_found() -> None:
    door = Door()
    record, secret = await door.issue()
    assert await door.keyring.find(secret) == record
    assert await door.keyring.find(secret.encode()) == record


async def test_a_configured_key_is_found_without_the_store() -> None:
    door = Door(configured())
    door.store.failing = True
    found = await door.keyring.find("alices-secret")
    assert found is not None
    assert (found.id, found.user, found.tenant, found.policy) == ("alice-laptop", "alice", "acme", "public")
    assert not door.store.calls


async def test_a_store_that_fails_is_not_an_unknown_key() -> None:
    door = Door(configured())
    door.store.failing = True
    for presented in (None, "unknown", b"unknown"):
        with pytest.raises(StoreUnavailable):
            await door.keyring.find(presented)


@pytest.mark.parametrize("presented", [None, "", b"", "lg-unknown", "\ud800", "schlüssel", b"\xff\xfe", "x" * 513])
async def test_what_is_no_key_is_nobody(presented: bytes | str | None) -> None:
    assert await Door(configured()).keyring.find(presented) is None


async def test_a_key_that_is_too_long_is_not_even_hashed(monkeypatch: pytest.MonkeyPatch) -> None:
    door = Door()
    await door.keyring.find(b"x" * 512)
    assert door.store.calls["find_key"] == 1
    steps = counting(monkeypatch)
    await door.keyring.find(b"x" * 513)
    assert not steps
    assert door.store.calls["find_key"] == 1


def counting(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Count the digests and the comparisons from now on."""
    steps: Counter[str] = Counter()
    digest, compare = hmac.digest, hmac.compare_digest

    def counted_digest(key: bytes, message: bytes, algorithm: str) -> bytes:
        steps["digest"] += 1
        return digest(key, message, algorithm)

    def counted_compare(one: bytes, other: bytes) -> bool:
        steps["compare"] += 1
        return compare(one, other)

    monkeypatch.setattr(hmac, "digest", counted_digest)
    monkeypatch.setattr(hmac, "compare_digest", counted_compare)
    return steps


async def test_the_work_does_not_tell_why_a_key_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    door = Door(configured())
    revoked, of_revoked = await door.issue()
    await door.issuer.revoke(revoked.id)
    _, of_expired = await door.issue(expires_in_s=1.0)
    rotated, of_rotated = await door.issue()
    await door.issuer.rotate(rotated.id, overlap_s=1.0)
    both, of_both = await door.issue()
    await door.issuer.rotate(both.id, overlap_s=60.0)
    await door.issuer.revoke(both.id)
    door.clock.advance(2.0)
    steps = counting(monkeypatch)
    taken = {}
    refused = {
        "missing": None, "empty": "", "unknown": "lg-" + "A" * 43, "revoked": of_revoked, "expired": of_expired,
        "rotated away": of_rotated, "rotated and revoked": of_both,
    }  # fmt: skip
    for why, presented in refused.items():
        for again in (1, 2):
            steps.clear()
            door.store.calls.clear()
            assert await door.keyring.find(presented) is None
            taken[why, again] = {**steps, **door.store.calls}
    assert len(taken) == 14
    assert all(work == {"digest": 1, "compare": keys.MAX_SECRETS, "find_key": 1} for work in taken.values())


async def test_a_valid_key_is_asked_for_once_in_its_time() -> None:
    door = Door()
    _, secret = await door.issue()
    for _ in range(3):
        assert await door.keyring.find(secret)
    assert door.store.calls["find_key"] == 1
    door.clock.advance(1.0)
    assert await door.keyring.find(secret)
    assert door.store.calls["find_key"] == 2


async def test_a_remembered_key_outlives_a_failure_of_the_store_for_its_time() -> None:
    door = Door()
    _, secret = await door.issue()
    await door.keyring.find(secret)
    door.store.failing = True
    assert await door.keyring.find(secret)
    door.clock.advance(1.0)
    with pytest.raises(StoreUnavailable):
        await door.keyring.find(secret)


async def test_a_revocation_made_elsewhere_takes_effect_in_time() -> None:
    door = Door()
    record, secret = await door.issue()
    await door.keyring.find(secret)
    await door.issuer.revoke(record.id)
    door.clock.advance(0.999)
    assert await door.keyring.find(secret)
    door.clock.advance(0.001)
    assert await door.keyring.find(secret) is None


async def test_a_revocation_made_here_takes_effect_at_once() -> None:
    door = Door()
    record, secret = await door.issue()
    other, of_other = await door.issue()
    await door.keyring.find(secret)
    await door.keyring.find(of_other)
    await door.issuer.revoke(record.id)
    door.keyring.forget(record.id)
    assert await door.keyring.find(secret) is None
    assert await door.keyring.find(of_other) == other
    assert door.store.calls["find_key"] == 3


async def test_an_answer_that_was_under_way_during_a_revocation_is_not_remembered() -> None:
    door = Door()
    record, secret = await door.issue()
    keyring = Keyring((), Late(door, record), PEPPER, door.clock)
    door.keyring = keyring
    assert await keyring.find(secret) == record
    assert await keyring.find(secret) is None


async def test_a_key_that_shares_only_its_lookup_is_nobody() -> None:
    door = Door()
    digest = keys.digest(PEPPER, b"guess")
    twin = KeySecret(digest[:16] + bytes(16))
    await door.store.put_key(KeyRecord("key_1", "bob", "acme", "public", door.clock.time(), (twin,)))
    assert await door.store.find_key(twin.lookup) is not None
    assert await door.keyring.find("guess") is None


class Late(FakeStore):
    """A store whose first answer arrives after the key was revoked and forgotten."""

    def __init__(self, door: Door, record: KeyRecord) -> None:
        super().__init__(door.clock)
        self._door = door
        self._record = record

    async def find_key(self, lookup: str) -> KeyRecord | None:
        found = await self._door.store.find_key(lookup)
        await self._door.issuer.revoke(self._record.id)
        self._door.keyring.forget(self._record.id)
        return found


async def test_nothing_is_remembered_beyond_its_end() -> None:
    door = Door()
    _, short = await door.issue(expires_in_s=0.5)
    rotated, old = await door.issue()
    await door.issuer.rotate(rotated.id, overlap_s=0.5)
    assert await door.keyring.find(short)
    assert await door.keyring.find(old)
    door.clock.advance(0.5)
    assert await door.keyring.find(short) is None
    assert await door.keyring.find(old) is None


async def test_the_least_used_key_is_forgotten_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_CACHED", 2)
    door = Door()
    secrets = [(await door.issue())[1] for _ in range(3)]
    for number in (0, 1, 0, 2):
        await door.keyring.find(secrets[number])
    door.store.calls.clear()
    await door.keyring.find(secrets[0])
    await door.keyring.find(secrets[2])
    assert not door.store.calls
    await door.keyring.find(secrets[1])
    assert door.store.calls["find_key"] == 1


@pytest.mark.parametrize("secret", ["", "x" * 513])
def test_a_configured_secret_that_nobody_could_present_is_refused(secret: str) -> None:
    unchecked = configured().model_copy(update={"secret": SecretStr(secret)})
    with pytest.raises(ValueError, match="alice-laptop"):
        Door(unchecked)


def test_two_configured_keys_never_share_a_secret() -> None:
    with pytest.raises(ValueError, match="second") as raised:
        Door(configured("first"), configured("second"))
    assert "alices-secret" not in str(raised.value)
