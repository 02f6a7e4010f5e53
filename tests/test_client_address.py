"""Whose address is believed."""

import pytest

from llmguard.client_address import ClientAddress
from llmguard.exchange import Head
from tests.guarded import Guarded

PROXIES = ["10.0.0.0/8", "2001:db8:1::/48", "192.0.2.7"]


def address(peer: str, forwarded: str | None = None, proxies: list[str] = PROXIES) -> str:
    """The address of a client behind this peer."""
    headers = {} if forwarded is None else {b"x-forwarded-for": forwarded.encode("latin-1")}
    return ClientAddress(proxies)(Head("POST", "/", headers, peer))


@pytest.mark.parametrize("peer", ["203.0.113.5", "11.0.0.1", "2001:db8:2::1", "192.0.2.8"])
def test_a_header_from_a_stranger_is_not_read(peer: str) -> None:
    assert address(peer, "198.51.100.1") == peer
    assert address(peer, "10.0.0.1") == peer


def test_without_trusted_proxies_no_header_is_read() -> None:
    assert address("10.0.0.1", "198.51.100.1", []) == "10.0.0.1"


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("10.0.0.1", "198.51.100.1", "198.51.100.1"),
        ("192.0.2.7", " 198.51.100.1 ", "198.51.100.1"),
        ("10.0.0.1", "198.51.100.1, 10.2.3.4", "198.51.100.1"),
        ("10.0.0.1", "198.51.100.1, 10.2.3.4,10.9.9.9, 192.0.2.7", "198.51.100.1"),
        # What stands left of the first stranger is the client's own invention.
        ("10.0.0.1", "1.1.1.1, 198.51.100.1", "198.51.100.1"),
        ("10.0.0.1", "1.1.1.1, 10.5.5.5, 198.51.100.1, 10.2.3.4", "198.51.100.1"),
        ("10.0.0.1", "garbage, 198.51.100.1", "198.51.100.1"),
        ("2001:db8:1::9", "2001:DB8:2:0:0:0:0:1", "2001:db8:2::1"),
        ("2001:db8:1::9", "198.51.100.1, 2001:db8:1::5", "198.51.100.1"),
        # A dual-stack socket tells IPv4 so.
        ("::ffff:10.0.0.1", "198.51.100.1", "198.51.100.1"),
        ("10.0.0.1", "::ffff:198.51.100.1, ::ffff:10.0.0.2", "198.51.100.1"),
    ],
)
def test_the_last_hop_that_no_proxy_of_ours_is(peer: str, forwarded: str, client: str) -> None:
    assert address(peer, forwarded) == client


@pytest.mark.parametrize(
    "forwarded",
    [
        None,
        "",
        ",",
        "unknown",
        "198.51.100.1:5000",
        "198.51.100.1, ",
        "198.51.100.1, x",
        "\xff",
        "10.1.1.1",
        "1" * 9999,
    ],
)
def test_what_tells_no_address_leaves_the_proxys(forwarded: str | None) -> None:
    assert address("10.0.0.1", forwarded) == "10.0.0.1"


@pytest.mark.parametrize("peer", ["", "/run/guard.sock"])
def test_a_peer_without_an_address_is_trusted_in_nothing(peer: str) -> None:
    assert address(peer, "198.51.100.1") == peer


def test_one_client_has_one_address() -> None:
    assert address("::ffff:203.0.113.5") == address("203.0.113.5")
    assert address("2001:DB8::0:1") == "2001:db8::1"


@pytest.mark.anyio
@pytest.mark.parametrize(("proxies", "seen"), [([], "192.0.2.1"), (["192.0.2.0/24"], "6.6.6.6")])
async def test_without_the_check_a_client_writes_its_own_address_and_with_it_does_not(
    proxies: list[str], seen: str
) -> None:
    """Trusting everybody is the attack working; the default trusts nobody."""
    guard = Guarded(server={"trusted_proxies": proxies})
    await guard.chat(headers={"x-forwarded-for": "6.6.6.6"})
    assert guard.audit.line["ip"] == seen
