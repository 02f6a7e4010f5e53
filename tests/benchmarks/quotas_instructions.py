"""What quotas cost in instructions: the same on a quiet machine and on a busy one, where times are not.

The guard runs under valgrind's callgrind, which counts what its process executes in user mode, of Python and of every
library; a kernel's part is not in it, nor Redis's own. Counting begins when the guard is warm and ends before it stops.
"""

import contextlib
import json
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from typing import Final

from tests.benchmarks.process import StartError
from tests.benchmarks.quotas import CONNECTIONS, POLICY, beside_redis, lacking
from tests.benchmarks.relay import MODEL
from tests.benchmarks.report import Report, Row
from tests.benchmarks.targets import POLICY as PLAIN
from tests.benchmarks.targets import Site, Target, guard_target
from tests.ports import HOST

TITLE = "quotas: instructions of a plain chat request, 32 connections"
WARM, COUNTED = 320, 960
LIMITED: Final = {"memory": "llmguard", "file": "llmguard", "redis": "llmguard redis"}
"""Each guard with limits, and the one without that it is compared with."""
LENGTH: Final = re.compile(rb"\r\ncontent-length: (\d+)\r\n", re.IGNORECASE)
PATIENCE: Final = {"timeout_ms": 30_000}
"""The store's: an instruction takes some fifty times as long as without the counting."""


def ways(redis: str) -> Mapping[str, tuple[object, Mapping[str, object]]]:
    """The policy and the store of each guard, by its name."""
    shared = {"url": redis, **PATIENCE}
    return {
        "llmguard": (PLAIN, PATIENCE),
        "memory": (POLICY, {"url": "memory:", **PATIENCE}),
        "file": (POLICY, PATIENCE),
        "llmguard redis": (PLAIN, shared),
        "redis": (POLICY, shared),
    }


@contextlib.contextmanager
def connected(target: Target) -> Iterator[list[socket.socket]]:
    """Connections that stay open."""
    port = int(target.urls[MODEL].split("/")[2].rpartition(":")[2])
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(socket.create_connection((HOST, port), timeout=60)) for _ in range(CONNECTIONS)]


def drive(target: Target, connections: list[socket.socket], count: int) -> None:
    """So many requests, one under way on each connection; raises StartError for an answer that is none."""
    headers = "".join(f"{name}: {value}\r\n" for name, value in target.headers[MODEL].items())
    for turn in range(count // len(connections)):
        said = f"In round {turn}, give me some thoughts about the smell of rain, shortest first."
        sent = {"model": MODEL, "messages": [{"role": "user", "content": said}], "temperature": 0.8, "max_tokens": 80}
        body = json.dumps(sent).encode()
        head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: guard\r\n{headers}content-length: {len(body)}\r\n\r\n"
        for connection in connections:
            connection.sendall(head.encode() + body)
        for connection in connections:
            answer = received(connection)
            if not answer.startswith(b"HTTP/1.1 200"):
                raise StartError(f"{target.name}: {answer.partition(b' ')[2][:3].decode()} in place of an answer")


def received(connection: socket.socket) -> bytes:
    """One answer."""
    found = b""
    while True:
        part = connection.recv(65_536)
        if not part:
            return found
        found += part
        head, parted, body = found.partition(b"\r\n\r\n")
        length = LENGTH.search(head + b"\r\n") if parted else None
        if length is not None and len(body) >= int(length[1]):
            return found


def counting(pid: int, switch: str) -> None:
    """Turn the counting on or off."""
    subprocess.run(["callgrind_control", "-i", switch, str(pid)], capture_output=True, timeout=60, check=True)


def instructions(site: Site, name: str, policy: object, store: Mapping[str, object]) -> float:
    """Of one request."""
    counts = site.directory / f"{name}.callgrind"
    under = ("valgrind", "--tool=callgrind", "--instr-atstart=no", f"--callgrind-out-file={counts}")
    with guard_target(site, name=name, policy=policy, store=store, under=under) as target:
        with connected(target) as connections:
            drive(target, connections, WARM)
            counting(target.process.pid, "on")
            drive(target, connections, COUNTED)
            counting(target.process.pid, "off")
    # It is written when the process ends.
    until = time.monotonic() + 30
    while not (found := re.search(r"^totals: (\d+)", counts.read_text() if counts.exists() else "", re.MULTILINE)):
        if time.monotonic() > until:
            raise StartError(f"{name}: callgrind counted nothing")
        time.sleep(0.1)
    return int(found[1]) / COUNTED


def run(_: int) -> list[Report]:
    """The benchmark."""
    if nothing := lacking(TITLE, valgrind=shutil.which("valgrind") is not None):
        return nothing
    with beside_redis() as (site, redis):
        found = {name: instructions(site, name, *way) for name, way in ways(redis).items()}
    return [Report(TITLE, [row(name, found) for name in found])]


def row(name: str, found: Mapping[str, float]) -> Row:
    """One guard's instructions, and what limits added to those of the guard without them."""
    base = LIMITED.get(name)
    told: Row = {"target": name, "instructions": round(found[name])}
    if base is None:
        return told
    added = found[name] - found[base]
    return {**told, "added": round(added), "share": added / found[base], "beside": base}
