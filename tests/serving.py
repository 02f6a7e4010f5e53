"""The guard, running: in this process with whatever a test injects, or as a process of its own."""

import asyncio
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from llmguard.app import App
from llmguard.audit_log import AuditLog
from llmguard.clock import Clock, SystemClock
from llmguard.metrics import Metrics
from llmguard.server import Server
from llmguard.settings import AnyUpstream, Settings
from llmguard.store.memory import MemoryStore
from llmguard.store.store import Store
from llmguard.upstreams.build import build_upstream
from llmguard.upstreams.upstream import Upstream
from tests.ports import free_port

KEY = "lg-test-key-of-alice"
OTHER_KEY = "lg-test-key-of-bob"
ADMIN_TOKEN = "admin-token-of-the-tests"
SECRET = "a secret of the tests, 32 bytes or more"
TIMEOUT_S = 20.0


def tree(upstream_url: str, **changes: Any) -> dict[str, Any]:
    """Settings as the file's tree: one OpenAI upstream, the model `chat`, alice (all) and bob (no `chat`)."""
    base: dict[str, Any] = {
        "secret": SECRET,
        "store": {"url": "memory:"},
        "server": {"port": 0, "drain_s": 5},
        "admin": {"token": ADMIN_TOKEN},
        "upstreams": {
            "fake": {"kind": "openai", "base_url": upstream_url, "api_key": "upstream-key", "max_retries": 0}
        },
        "models": {
            "chat": {"task": "chat", "upstream": "fake", "model": "upstream-model"},
            "other": {"task": "chat", "upstream": "fake", "model": "upstream-model-2"},
        },
        "policies": {"public": {}, "narrow": {"models": ["other"], "endpoints": ["chat", "models"]}},
        "keys": [
            {"id": "alice", "secret": KEY, "user": "alice", "tenant": "acme", "policy": "public"},
            {"id": "bob", "secret": OTHER_KEY, "user": "bob", "tenant": "acme", "policy": "narrow"},
        ],
    }
    return base | changes


@dataclass
class Running:
    """A guard in this process."""

    app: App
    url: str
    audit: "Lines"
    server: Server

    @property
    def v1(self) -> str:
        """What an SDK calls its base URL."""
        return f"{self.url}/v1"


class Lines:
    """A pipe's worth of audit lines."""

    def __init__(self) -> None:
        self._read, self.write = os.pipe()
        self._text = bytearray()
        self._thread = threading.Thread(target=self._pump, daemon=True)
        self._thread.start()

    def _pump(self) -> None:
        while block := os.read(self._read, 1 << 16):
            self._text += block
        os.close(self._read)

    def forget(self) -> None:
        """Drop what has come so far."""
        self._text.clear()

    def ended(self) -> list[dict[str, Any]]:
        """Every line; call it after the guard has stopped."""
        os.close(self.write)
        self._thread.join(TIMEOUT_S)
        return [json.loads(line) for line in self._text.splitlines()]

    async def until(self, count: int) -> list[dict[str, Any]]:
        """The lines, once there are so many."""
        async with asyncio.timeout(TIMEOUT_S):
            while self._text.count(b"\n") < count:
                await asyncio.sleep(0.01)
        return [json.loads(line) for line in self._text.splitlines()]


@asynccontextmanager
async def running(
    settings: Mapping[str, Any],
    *,
    clock: Clock | None = None,
    store: Store | None = None,
    upstreams: Callable[[AnyUpstream], Upstream] | None = None,
    cache: Path = Path("unused"),
    kind: type[App] = App,
) -> AsyncIterator[Running]:
    """Serve these settings on a free port of the loopback, in this event loop."""
    clock = clock or SystemClock()
    lines = Lines()
    app = kind(
        Settings.model_validate(settings),
        clock=clock,
        store=store or MemoryStore(clock=clock),
        upstreams=upstreams or (lambda upstream: build_upstream(upstream, cache=cache)),
        audit=AuditLog(lines.write),
        metrics=Metrics(),
    )
    server = Server(app, clock)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        # As uvloop does, which serves outside of tests; asyncio leaves it out for a socket made like this one.
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        task = asyncio.get_running_loop().create_task(server.serve(sockets=[listening]))
        try:
            async with asyncio.timeout(TIMEOUT_S):
                while not server.started:
                    await asyncio.sleep(0.005)
            yield Running(app, f"http://127.0.0.1:{listening.getsockname()[1]}", lines, server)
        finally:
            server.should_exit = True
            async with asyncio.timeout(TIMEOUT_S):
                await task


@asynccontextmanager
async def http(guard: Running, key: str | None = KEY) -> AsyncIterator[aiohttp.ClientSession]:
    """A plain HTTP client of the guard."""
    headers = {"authorization": f"Bearer {key}"} if key else {}
    timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
    async with aiohttp.ClientSession(guard.url, headers=headers, timeout=timeout) as session:
        yield session


@contextmanager
def process(
    settings: Mapping[str, Any] | None, folder: Path, *options: str, environ: Mapping[str, str] | None = None
) -> Iterator["Process"]:
    """`llmguard serve` as a process of its own, in `folder`; ended on leaving."""
    command = [sys.executable, "-m", "llmguard", "serve", "--port", str(free_port()), *options]
    if settings is not None:
        file = folder / "llmguard.yaml"
        file.write_text(json.dumps(settings))  # JSON is YAML
        command += ["--config", str(file)]
    here = Path(__file__).parent.parent
    env = {**os.environ, "PYTHONPATH": str(here), **(environ or {})}
    with open(folder / "stdout", "wb") as out, open(folder / "stderr", "wb") as err:
        child = subprocess.Popen(command, cwd=folder, env=env, stdout=out, stderr=err)
    try:
        yield Process(child, folder, f"http://127.0.0.1:{command[command.index('--port') + 1]}")
    finally:
        if child.poll() is None:
            child.kill()
        child.wait(TIMEOUT_S)


@dataclass
class Process:
    """A guard in a process of its own."""

    child: "subprocess.Popen[bytes]"
    folder: Path
    url: str

    @property
    def stdout(self) -> str:
        """What it has printed."""
        return (self.folder / "stdout").read_text()

    @property
    def stderr(self) -> str:
        """What it has logged."""
        return (self.folder / "stderr").read_text()

    async def ready(self, timeout_s: float = TIMEOUT_S) -> None:
        """Wait until a request would be served."""
        async with asyncio.timeout(timeout_s), aiohttp.ClientSession() as session:
            while True:
                try:
                    async with session.get(f"{self.url}/health/ready") as response:
                        if response.status == 200:
                            return
                except aiohttp.ClientError:
                    pass
                if self.child.poll() is not None:
                    raise AssertionError(f"the guard ended: {self.stderr}")
                await asyncio.sleep(0.02)
