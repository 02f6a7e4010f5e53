"""The client's own address, as far as it can be believed."""

from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv6Address, ip_address, ip_network

from llmguard.exchange import Head


class ClientAddress:
    """The socket's peer, or behind trusted proxies the last hop in `X-Forwarded-For` that none of them is.

    Each address has one spelling. What stands left of that hop was written by the client, and is not read.
    """

    def __init__(self, trusted_proxies: Sequence[str]) -> None:
        self._proxies = tuple(ip_network(network, strict=False) for network in trusted_proxies)

    def __call__(self, head: Head) -> str:
        """The address as text."""
        try:
            peer = _plain(head.peer)
        except ValueError:  # a socket of the file system
            return head.peer
        if not self._proxies or not self._trusted(peer):
            return peer
        for hop in reversed(head.headers.get(b"x-forwarded-for", b"").decode("latin-1").split(",")):
            try:
                address = _plain(hop.strip())
            except ValueError:
                break
            if not self._trusted(address):
                return address
        return peer

    def _trusted(self, address: str) -> bool:
        ip = ip_address(address)
        return any(ip in network for network in self._proxies)


@lru_cache(maxsize=4096)  # a parse takes 4 µs, and most requests come from an address that was here before
def _plain(text: str) -> str:
    """One spelling for one address: IPv6 shortened, IPv4 in IPv6 as IPv4; raises ValueError."""
    ip = ip_address(text)
    return str((ip.ipv4_mapped if isinstance(ip, IPv6Address) else None) or ip)
