"""Where audit lines go: one file descriptor, written in batches, never blocking the event loop."""

import logging
import os
import select
import threading
from collections import deque

log = logging.getLogger(__name__)

LARGEST_BACKLOG = 50_000
"""Lines that may wait for a slow reader; beyond it the guard refuses requests that it could not record."""


class AuditLog:
    """Writes lines from a thread of its own, in order.

    `write` never waits. `full` says that the reader is so far behind that another line would
    be lost. `close` writes what is left, and waits for it up to a bound. At most the lines of the last
    interval are lost if the process is killed.
    """

    INTERVAL_S = 0.05

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._lines: deque[bytes] = deque()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="audit", daemon=True)
        self._thread.start()

    @property
    def full(self) -> bool:
        """Whether a request should be refused, since its line could not be kept."""
        return len(self._lines) >= LARGEST_BACKLOG or not self._thread.is_alive()

    def write(self, line: bytes) -> None:
        """Take a line, without its line feed."""
        self._lines.append(line)

    def close(self, timeout_s: float = 2.0) -> None:
        """Write what is left."""
        self._closing.set()
        self._thread.join(timeout_s)

    def _run(self) -> None:
        try:
            while not self._closing.wait(self.INTERVAL_S):
                self._flush()
            self._flush()
        except OSError as error:
            log.error("the audit log cannot be written, so requests are refused: %s", error.strerror)

    def _flush(self) -> None:
        count = len(self._lines)
        if not count:
            return
        block = b"\n".join(self._lines.popleft() for _ in range(count)) + b"\n"
        while block:
            try:
                block = block[os.write(self._descriptor, block) :]
            except BlockingIOError:  # whoever shares the descriptor has made it so
                select.select((), (self._descriptor,), ())
