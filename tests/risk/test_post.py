"""What travels is sealed, and comes out as it went in or not at all."""

import pytest

from llmguard.risk.desk import Holder
from llmguard.risk.post import PARTS, Entry, Order, Seal, owner_of, part_of, report_at, stream_of
from llmguard.risk.sight import Sight

SIGHT = Sight(1.5, "k", "u", "t", "public", "192.0.2.0/24", b"\x01\x02", 7, True, False, 5)
ORDER = Order("pin", 1.5, Holder("k", "u", "t", "public"), "blocked", 9.5)


@pytest.mark.parametrize("entry", [Entry(sight=SIGHT), Entry(order=ORDER)])
def test_an_entry_comes_out_as_it_went_in(entry: Entry) -> None:
    assert Seal(b"k" * 32).opened(Seal(b"k" * 32).sealed(entry)) == entry


def test_no_two_are_alike() -> None:
    seal = Seal(b"k" * 32)
    assert seal.sealed(Entry(sight=SIGHT)) != seal.sealed(Entry(sight=SIGHT))


def test_what_is_damaged_or_anothers_is_told() -> None:
    sealed = Seal(b"k" * 32).sealed(Entry(sight=SIGHT))
    for broken in (b"", sealed[:-1], sealed[:5], bytes([sealed[0] ^ 1]) + sealed[1:]):
        with pytest.raises(ValueError, match="damaged"):
            Seal(b"k" * 32).opened(broken)
    with pytest.raises(ValueError, match="another secret"):
        Seal(b"x" * 32).opened(sealed)


def test_a_tenant_has_one_part_and_parts_share_the_tenants() -> None:
    parts = [part_of(f"tenant{number}") for number in range(1000)]
    assert parts == [part_of(f"tenant{number}") for number in range(1000)]
    assert set(parts) == set(range(PARTS))


def test_on_a_cluster_a_name_lies_in_one_slot() -> None:
    for name in (stream_of(3), owner_of(3), report_at("key", "k")):
        assert name.count("{") == name.count("}") == 1
