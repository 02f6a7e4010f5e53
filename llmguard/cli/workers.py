"""Several worker processes behind one listening socket."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from queue import Empty, SimpleQueue
from types import FrameType

RESTART_PAUSE_S = 1.0
METRICS_FOLDER = "LLMGUARD_METRICS_FOLDER"
"""Where workers leave their figures for one another."""


def serve_with_workers(count: int, listening: socket.socket, config: Path | None) -> int:
    """Run `count` processes until a signal ends them; the exit code.

    A worker that dies is started again. SIGTERM, SIGINT and SIGHUP are passed on to each, so every
    one drains, or reloads, by itself.
    """
    with tempfile.TemporaryDirectory(prefix="llmguard-metrics-") as metrics, listening:
        return _Workers(count, _command(listening, config), listening.fileno(), metrics).run()


def _command(listening: socket.socket, config: Path | None) -> list[str]:
    command = [sys.executable, "-m", "llmguard", "serve", "--socket-fd", str(listening.fileno())]
    return [*command, "--config", str(config)] if config is not None else command


class _Workers:
    """Each worker's stdin is a pipe that only this process holds: its end tells that this process has died."""

    def __init__(self, count: int, command: list[str], descriptor: int, metrics: str) -> None:
        self._count = count
        self._command = command
        self._descriptor = descriptor
        self._metrics = metrics
        # An Event's lock is not made for signal handlers; a SimpleQueue is.
        self._signals: SimpleQueue[int] = SimpleQueue()

    def run(self) -> int:
        for noted in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD):
            signal.signal(noted, self._note)
        workers = [self._spawn() for _ in range(self._count)]
        stopping = False
        while not stopping or any(worker.poll() is None for worker in workers):
            try:
                number = self._signals.get(timeout=RESTART_PAUSE_S)
            except Empty:
                if not stopping:
                    self._replace_one(workers)
                continue
            if number != signal.SIGCHLD:  # which is only there to end the wait for the last one
                stopping = stopping or number != signal.SIGHUP
                _pass_on(number, workers)
        return max(worker.wait() for worker in workers)

    def _replace_one(self, workers: list["subprocess.Popen[bytes]"]) -> None:
        """Start a dead worker again. One at a time and after a pause: those that cannot start must not spin."""
        for place, worker in enumerate(workers):
            if worker.poll() is not None:
                _close(worker)
                workers[place] = self._spawn()
                return

    def _spawn(self) -> "subprocess.Popen[bytes]":
        # Inherited: a SIGHUP waits until the worker can take it, which would otherwise die of it.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
        try:
            return subprocess.Popen(  # noqa: S603  our own command
                self._command,
                env={**os.environ, METRICS_FOLDER: self._metrics},
                pass_fds=(self._descriptor,),
                stdin=subprocess.PIPE,
                # The terminal's Ctrl-C is for this process, which passes it on; twice would not drain.
                process_group=0,
            )
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})

    def _note(self, number: int, frame: FrameType | None) -> None:
        self._signals.put(number)


def _pass_on(number: int, workers: list["subprocess.Popen[bytes]"]) -> None:
    for worker in workers:
        if worker.poll() is None:
            worker.send_signal(number)


def _close(worker: "subprocess.Popen[bytes]") -> None:
    if worker.stdin is not None:
        worker.stdin.close()
