"""Ports of loopback for the servers that tests start."""

import secrets
import socket

HOST = "127.0.0.1"
PORTS = range(10_000, 22_000)
BUS = 10_000
"""A Redis Cluster's nodes talk on their port plus this."""


def free_port() -> int:
    """A port that nobody listens on, nor on the one at +10,000.

    Both lie below the ports that Linux hands to outgoing connections (32,768 and up), so that no client of
    another test has taken one between this look and the server's start.
    """
    while True:
        port = secrets.choice(PORTS)
        if _free(port) and _free(port + BUS):
            return port


def _free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True
