"""Audit lines: all of them, in order, and never in the way of the event loop."""

import os
import threading
from collections.abc import Iterator

import pytest

from llmguard import audit_log
from llmguard.app import App
from llmguard.audit_log import AuditLog
from llmguard.clock import SystemClock
from llmguard.metrics import Metrics
from llmguard.store.memory import MemoryStore
from tests.fakes.connection import FakeClient
from tests.fakes.upstream import FakeUpstream
from tests.guarded import CHAT, settings

TIMEOUT_S = 10.0


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """A pipe's ends for reading and writing, closed afterwards where they are still open."""
    ends = os.pipe()
    yield ends
    for end in ends:
        try:
            os.close(end)
        except OSError:
            continue


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Batches that wait for nothing."""
    monkeypatch.setattr(AuditLog, "INTERVAL_S", 0.001)


def read_all(end: int) -> bytes:
    """What was written, up to the end."""
    text = b""
    while block := os.read(end, 1 << 16):
        text += block
    return text


def fill(end: int) -> None:
    """Fill a pipe, so that writing to it blocks."""
    os.set_blocking(end, False)
    try:
        while os.write(end, b"." * 65536):
            pass
    except BlockingIOError:
        os.set_blocking(end, True)


def app(log: AuditLog) -> App:
    """A guard that records there."""
    clock = SystemClock()
    return App(
        settings(),
        clock=clock,
        store=MemoryStore(clock=clock),
        upstreams=lambda _: FakeUpstream(),
        audit=log,
        metrics=Metrics(),
    )


def test_every_line_is_written_in_order(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    lines = [b"line %d %s" % (number, b"x" * (number % 300)) for number in range(10_000)]
    found: list[bytes] = []
    thread = threading.Thread(target=lambda: found.append(read_all(reader)))
    thread.start()
    log = AuditLog(writer)
    for line in lines:
        log.write(line)
    log.close(TIMEOUT_S)
    os.close(writer)
    thread.join(TIMEOUT_S)
    assert found[0].splitlines() == lines


def test_close_writes_what_is_left_and_ends_the_log(pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(AuditLog, "INTERVAL_S", 3600)
    reader, writer = pipe
    log = AuditLog(writer)
    log.write(b"last")
    assert not log.full
    log.close(TIMEOUT_S)
    assert os.read(reader, 100) == b"last\n"
    assert log.full


@pytest.mark.anyio
async def test_a_stuck_reader_stops_requests_and_not_the_loop(
    pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit_log, "LARGEST_BACKLOG", 10)
    reader, writer = pipe
    fill(writer)
    log = AuditLog(writer)
    guard = app(log)
    served = []
    for _ in range(100):
        client = FakeClient(json=CHAT)
        await guard(client.scope, client.receive, client.send)  # would hang here, if anything waited
        served.append(client.status)
        if client.status == 503:
            break
    assert set(served) == {200, 503}
    assert (client.error["code"], client.headers["retry-after"]) == ("overloaded", "1")
    log.close(0)  # bounded, though nobody reads
    os.set_blocking(reader, False)
    written = b""
    while written.count(b"\n") < served.count(200):
        try:
            written += os.read(reader, 1 << 20)
        except BlockingIOError:
            os.sched_yield()
    log.close(TIMEOUT_S)
    assert written.count(b'"allow"') == served.count(200)


@pytest.mark.anyio
async def test_a_pipe_that_nobody_holds_stops_requests(pipe: tuple[int, int], caplog: pytest.LogCaptureFixture) -> None:
    reader, writer = pipe
    os.close(reader)
    log = AuditLog(writer)
    log.write(b"lost")
    log._thread.join(TIMEOUT_S)
    assert log.full
    assert "audit log cannot be written" in caplog.text
    client = FakeClient(json=CHAT)
    await app(log)(client.scope, client.receive, client.send)
    assert client.status == 503


def test_a_descriptor_that_somebody_made_non_blocking_is_waited_for(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    fill(writer)
    os.set_blocking(writer, False)
    log = AuditLog(writer)
    log.write(b"late")
    log.close(0)
    assert log._thread.is_alive()
    text = b""
    while not text.endswith(b"late\n"):
        text += os.read(reader, 1 << 16)
    log.close(TIMEOUT_S)
    assert not log._thread.is_alive()
