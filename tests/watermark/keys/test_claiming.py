"""Whoever claims a key gets the same one, and never one that SGLang's 32 bits take for another tenant's."""

import numpy as np
import pytest

from watermark.keys import claiming, issuing
from watermark.keys.claiming import claim
from watermark.keys.issuing import EPOCHS, revoke, taken
from watermark.keys.record import KeyRecord, Order
from watermark.keys.registry import MemoryRegistry, RegistryError
from watermark.prf import murmur3

MASTER = bytes(range(32))


def order(tenant: str = "acme") -> Order:
    return Order(tenant=tenant, model="m", scheme="gumbel-sglang", width=4, vocabulary=0, tokenizer="")


def test_the_same_is_claimed_again_and_by_others_another():
    registry = MemoryRegistry()
    first = claim(registry, MASTER, order(), 1, now=5.0)
    assert claim(registry, MASTER, order(), 1, now=9.0) == first
    assert claim(MemoryRegistry(), MASTER, order(), 1, now=5.0) == first
    others = [claim(registry, MASTER, order("globex"), 1, now=5.0), claim(registry, MASTER, order(), 2, now=5.0)]
    assert len({first.words, *(other.words for other in others)}) == 3
    assert len(registry.records()) == 3


def test_a_revoked_key_is_not_marked_with_again():
    registry = MemoryRegistry()
    first = claim(registry, MASTER, order(), 1, now=5.0)
    revoke(registry, first.id, now=6.0)
    second = claim(registry, MASTER, order(), 1, now=7.0)
    assert second.epoch == 1 + EPOCHS
    assert second.words != first.words
    assert claim(registry, MASTER, order(), 1, now=8.0) == second
    assert issuing.issue(registry, MASTER, order(), accept=lambda _: True, now=9.0).epoch == 2


def test_a_key_that_collides_with_anothers_is_passed_over(monkeypatch: pytest.MonkeyPatch):
    registry = MemoryRegistry()
    other = claim(registry, MASTER, order("globex"), 1, now=5.0)
    own = issuing.fresh(MASTER, order(), 1, 5.0)
    # Two keys of one state, by an inversion that costs nothing: state is a bijection of the high word for a low one.
    twin = same_state(int(own.words[0], 16))
    assert twin != int(own.words[0], 16)
    collision = KeyRecord(**{name: getattr(other, name) for name in KeyRecord.__struct_fields__} | {
        "id": "wm_twin", "words": (f"{twin:016x}",)})  # fmt: skip
    assert taken(own, (collision,))
    registry.change(lambda _: (collision,))
    claimed = claim(registry, MASTER, order(), 1, now=6.0)
    assert claimed.epoch == 1 + EPOCHS
    states = murmur3.state(np.array([int(record.words[0], 16) for record in registry.records()], np.uint64))
    assert len(set(states.tolist())) == 2


def same_state(key: int) -> int:
    """Another key whose murmur3 state is the same: the high word is solved for, the low one being chosen."""
    wanted = int(murmur3.state(np.array([key], np.uint64))[0])
    low = 0xABCDEF
    five, n = pow(5, -1, 1 << 32), 0xE6546B64
    middle = 0
    for word, mixed_in in ((low, True), (None, False)):
        if mixed_in:
            k = rotated(word * 0xCC9E2D51 & 0xFFFFFFFF, 15) * 0x1B873593 & 0xFFFFFFFF
            middle = (rotated(middle ^ k, 13) * 5 + n) & 0xFFFFFFFF
    before = (wanted - n) * five & 0xFFFFFFFF
    k = rotated(before, 19) ^ middle
    mixed = rotated(k * pow(0x1B873593, -1, 1 << 32) & 0xFFFFFFFF, 17)
    high = mixed * pow(0xCC9E2D51, -1, 1 << 32) & 0xFFFFFFFF
    return high << 32 | low


def rotated(value: int, by: int) -> int:
    return (value << by | value >> (32 - by)) & 0xFFFFFFFF


def test_a_registry_that_fails_says_so():
    class Broken(MemoryRegistry):
        def records(self):
            raise RegistryError("no")

    with pytest.raises(RegistryError):
        claiming.claim(Broken(), MASTER, order(), 1, now=1.0)
