"""The guard as a process: its start, its end, its reloads, its workers. Nothing secret in what it prints."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import psutil
import pytest

from tests.asking import PROMPT, ask, figure, until
from tests.fakes import Answer, FakeOpenAI
from tests.redis_server import RedisServer
from tests.serving import ADMIN_TOKEN, KEY, OTHER_KEY, SECRET, Process, process, tree

pytestmark = pytest.mark.anyio

OVERLOADED = (503, "overloaded")


@pytest.fixture
async def fake() -> AsyncIterator[FakeOpenAI]:
    async with FakeOpenAI(Answer(pause_after=2)) as server:
        yield server


@pytest.fixture
def started(tmp_path: Path) -> Iterator["Started"]:
    with ExitStack() as stack:
        started = Started(tmp_path, stack)
        yield started
    printed = "".join(guard.stdout + guard.stderr for guard in started.guards)
    assert "Traceback" not in printed
    # Every piece of the completion that could not be there by chance.
    secrets = (PROMPT, KEY, OTHER_KEY, SECRET, ADMIN_TOKEN, "upstream-key", " wör", "🌍")
    assert [secret for secret in secrets if secret in printed] == []


class Started:
    """Starts guards in a folder, with a file that can be changed."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self._folder = folder
        self._stack = stack
        self.guards: list[Process] = []

    async def __call__(self, settings: dict[str, Any]) -> Process:
        guard = self._stack.enter_context(process(settings, self._folder))
        self.guards.append(guard)
        await guard.ready()
        return guard

    def write(self, settings: dict[str, Any]) -> None:
        fresh = self._folder / "fresh"
        fresh.write_text(json.dumps(settings))
        fresh.replace(self._folder / "llmguard.yaml")


@asynccontextmanager
async def client(guard: Process, key: str = KEY) -> AsyncIterator[aiohttp.ClientSession]:
    """A client whose every request has a connection of its own."""
    async with aiohttp.ClientSession(
        guard.url,
        headers={"authorization": f"Bearer {key}"},
        timeout=aiohttp.ClientTimeout(total=20),
        connector=aiohttp.TCPConnector(force_close=True),
    ) as session:
        yield session


async def ended(guard: Process, within_s: float) -> int:
    """The exit code, once there is one."""
    await until(lambda: guard.child.poll() is not None, within_s)
    assert guard.child.returncode is not None
    return guard.child.returncode


async def draining(guard: Process, session: aiohttp.ClientSession) -> None:
    """Wait until it refuses."""
    async with asyncio.timeout(5):
        while (await ask(session)).status != 503:
            pass


def lines(guard: Process) -> list[dict[str, Any]]:
    """The audit lines so far."""
    return [json.loads(line) for line in guard.stdout.splitlines()]


class TestEnd:
    async def test_sigterm_lets_streams_end(self, fake: FakeOpenAI, started: Started) -> None:
        guard = await started(tree(fake.url))
        async with client(guard) as session, asyncio.TaskGroup() as group:
            streams = [group.create_task(ask(session, stream=True)) for _ in range(3)]
            await fake.until(lambda: fake.answering == 3)
            guard.child.terminate()
            async with asyncio.timeout(5):
                while (refused := await ask(session, stream=True)).status == 200:
                    pass
            assert (refused.status, refused.code) == OVERLOADED
            assert refused.headers["retry-after"] == "1"
            async with session.get("/health/ready") as ready, session.get("/health/live") as live:
                assert (ready.status, live.status) == (503, 200)
            fake.go.set()
            answers = [await stream for stream in streams]
        assert [answer.said for answer in answers] == [fake.answer.text] * 3
        assert await ended(guard, 4) == 0
        assert [line["status"] for line in lines(guard)] == [200] * 3

    async def test_a_stream_that_never_ends(self, fake: FakeOpenAI, started: Started) -> None:
        guard = await started(tree(fake.url, server={"drain_s": 2}))
        async with client(guard) as session, asyncio.TaskGroup() as group:
            stream = group.create_task(ask(session, stream=True))
            await fake.until(lambda: fake.answering == 1)
            guard.child.terminate()
            began = asyncio.get_running_loop().time()
            assert await ended(guard, 5) == 0
            assert asyncio.get_running_loop().time() - began < 2.5
        assert stream.result().code == "overloaded"
        [line] = lines(guard)
        assert (line["status"], line["code"], line["decision"]) == (200, "overloaded", "error")
        await fake.wait_disconnect(1)

    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
    async def test_the_second_signal_ends_at_once(
        self, fake: FakeOpenAI, started: Started, number: signal.Signals
    ) -> None:
        guard = await started(tree(fake.url, server={"drain_s": 60}))
        async with client(guard) as session, asyncio.TaskGroup() as group:
            stream = group.create_task(ask(session, stream=True))
            await fake.until(lambda: fake.answering == 1)
            guard.child.send_signal(number)
            await draining(guard, session)
            guard.child.send_signal(number)
            assert await ended(guard, 2) == 0
        assert stream.result().code == "overloaded"
        assert [line["code"] for line in lines(guard)] == ["overloaded"]

    async def test_idle(self, fake: FakeOpenAI, started: Started) -> None:
        guard = await started(tree(fake.url))
        guard.child.terminate()
        assert await ended(guard, 2) == 0


class TestReload:
    async def test_sighup(self, fake: FakeOpenAI, started: Started) -> None:
        """Policy, keys, models and upstreams change for the next request; the running one keeps its own."""
        async with FakeOpenAI(Answer(chunks=("new",))) as other:
            guard = await started(tree(fake.url))
            async with client(guard) as session, asyncio.TaskGroup() as group:
                stream = group.create_task(ask(session, stream=True))
                await fake.until(lambda: fake.answering == 1)
                changed = tree(other.url)
                changed["upstreams"] = {"other": {"kind": "openai", "base_url": other.url}}
                changed["models"] = {"chat": {"task": "chat", "upstream": "other", "model": "m"}}
                changed["policies"] = {"public": {"endpoints": ["chat"]}}
                changed["keys"] = [changed["keys"][0] | {"secret": "lg-another-key-of-alice"}]
                changed["mode"] = "enforce"
                await self.reload(guard, started, changed, "new settings in force")
                assert (await ask(session)).code == "invalid_api_key"
                async with client(guard, "lg-another-key-of-alice") as again:
                    assert (await ask(again)).said == "new"
                    assert (await ask(again, "completions")).code == "endpoint_not_allowed"
                # The removed upstream is not closed under the running stream.
                assert (fake.answering, fake.disconnects) == (1, 0)
                fake.go.set()
                assert (await stream).said == fake.answer.text
            # Its pool is closed once nobody uses it.
            await fake.until(lambda: fake.connections == 0)
        assert "lg-another-key-of-alice" not in guard.stderr + guard.stdout

    async def test_a_bad_file(self, fake: FakeOpenAI, started: Started) -> None:
        fake.go.set()
        guard = await started(tree(fake.url))
        (guard.folder / "llmguard.yaml").write_text("secret: short\npolicies: {}\nmodells: {}\n")
        guard.child.send_signal(signal.SIGHUP)
        await until(lambda: "not valid" in guard.stderr)
        assert "3: modells" in guard.stderr
        assert "1: secret" in guard.stderr
        async with client(guard) as session:
            assert (await ask(session)).status == 200
        (guard.folder / "llmguard.yaml").unlink()
        guard.child.send_signal(signal.SIGHUP)
        await until(lambda: "cannot be read" in guard.stderr)
        async with client(guard) as session:
            assert (await ask(session)).status == 200

    async def test_what_waits_for_a_restart(self, fake: FakeOpenAI, started: Started) -> None:
        fake.go.set()
        guard = await started(tree(fake.url))
        changed = tree(fake.url, secret="another secret of the tests, 32 bytes or more", store={"url": "file:./other"})
        changed["server"] = {"host": "127.0.0.2", "max_body_bytes": 1024}
        await self.reload(guard, started, changed, "new settings in force")
        for key in ("secret", "store", "server.host"):
            assert f"{key} has changed, which takes effect with a restart only" in guard.stderr
        assert "another secret" not in guard.stderr
        async with client(guard) as session:
            assert (await ask(session)).status == 200
            # The rest of `server` does take effect.
            assert (await ask(session, user="x" * 2000)).code == "request_too_large"

    async def test_a_changed_file_is_noticed(self, fake: FakeOpenAI, started: Started) -> None:
        fake.go.set()
        settings = tree(fake.url, server={"reload": True})
        guard = await started(settings)
        started.write(settings | {"policies": {"public": {"endpoints": ["models"]}, "narrow": {}}})
        await until(lambda: "new settings in force" in guard.stderr)
        async with client(guard) as session:
            assert (await ask(session)).code == "endpoint_not_allowed"

    @staticmethod
    async def reload(guard: Process, started: Started, settings: dict[str, Any], said: str) -> None:
        started.write(settings)
        guard.child.send_signal(signal.SIGHUP)
        await until(lambda: said in guard.stderr)


class TestStart:
    @staticmethod
    def serve(folder: Path, *options: str) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-m", "llmguard", "serve", *options]
        env = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)}
        return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=20, check=False)

    @pytest.mark.parametrize("workers", [1, 2])
    def test_a_port_in_use(self, tmp_path: Path, workers: int) -> None:
        file = tmp_path / "llmguard.yaml"
        file.write_text(json.dumps(tree("http://127.0.0.1:1/v1", store={"url": "redis://127.0.0.1:1"})))
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = str(taken.getsockname()[1])
            done = self.serve(tmp_path, "--config", str(file), "--port", port, "--workers", str(workers))
        assert done.returncode == 2
        assert "Address already in use" in done.stderr
        assert done.stderr.count("\n") == 1

    def test_an_address_of_another_machine(self, tmp_path: Path) -> None:
        file = tmp_path / "llmguard.yaml"
        file.write_text(json.dumps(tree("http://127.0.0.1:1/v1")))
        done = self.serve(tmp_path, "--config", str(file), "--host", "192.0.2.1")
        assert (done.returncode, done.stderr.count("\n")) == (2, 1)

    def test_a_bad_file(self, tmp_path: Path) -> None:
        file = tmp_path / "llmguard.yaml"
        file.write_text("secret: short\nupstreams: {}\nmodels: {}\npolicies: {}\nnonsense: 1\n")
        done = self.serve(tmp_path, "--config", str(file))
        assert done.returncode == 2
        assert "5: nonsense" in done.stderr
        assert "1: secret" in done.stderr
        assert "Traceback" not in done.stderr

    def test_no_file(self, tmp_path: Path) -> None:
        done = self.serve(tmp_path, "--config", "missing.yaml")
        assert (done.returncode, done.stderr.count("\n")) == (2, 1)
        assert "cannot be read" in done.stderr


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with RedisServer(tmp_path_factory.mktemp("redis")) as server:
        yield server


class TestWorkers:
    @staticmethod
    def settings(fake: FakeOpenAI, redis: RedisServer) -> dict[str, Any]:
        return tree(fake.url, server={"workers": 2, "drain_s": 5}, store={"url": redis.url})

    @staticmethod
    def pids(guard: Process) -> set[int]:
        return {child.pid for child in psutil.Process(guard.child.pid).children() if running(child.pid)}

    @classmethod
    async def both(cls, guard: Process) -> set[int]:
        """The workers' ids, once both write their audit log: a thread beside the main one."""
        await until(lambda: [threads(pid) > 1 for pid in cls.pids(guard)] == [True] * 2, 10)
        return cls.pids(guard)

    async def test_they_share_the_work_and_end_together(
        self, fake: FakeOpenAI, started: Started, redis: RedisServer
    ) -> None:
        fake.go.set()
        guard = await started(self.settings(fake, redis))
        first = await self.both(guard)
        async with client(guard) as session:
            for _ in range(10):
                assert (await ask(session)).status == 200
            # Whichever worker is asked, it tells the sum, of others as it was within the last second.
            figures: set[float] = set()
            async with asyncio.timeout(5):
                while figures != {10}:
                    figures = {await figure(session, "llmguard_requests_total", status="200") for _ in range(5)}
            victim = min(first)
            os.kill(victim, signal.SIGKILL)
            await until(lambda: victim not in self.pids(guard))
            second = await self.both(guard)
            assert len(second - first) == 1
            assert (await ask(session)).status == 200
            assert await figure(session, "llmguard_in_flight_requests") == 0
        guard.child.terminate()
        assert await ended(guard, 5) == 0
        assert [pid for pid in second if psutil.pid_exists(pid)] == []

    async def test_sigterm_drains_each(self, fake: FakeOpenAI, started: Started, redis: RedisServer) -> None:
        guard = await started(self.settings(fake, redis))
        await self.both(guard)
        async with client(guard) as session, asyncio.TaskGroup() as group:
            streams = [group.create_task(ask(session, stream=True)) for _ in range(8)]
            await fake.until(lambda: fake.answering == 8)
            guard.child.terminate()
            fake.go.set()
            assert [(await stream).said for stream in streams] == [fake.answer.text] * 8
        assert await ended(guard, 5) == 0

    async def test_sighup_reaches_both(self, fake: FakeOpenAI, started: Started, redis: RedisServer) -> None:
        fake.go.set()
        settings = self.settings(fake, redis)
        guard = await started(settings)
        # Also one that has not come so far as to take signals.
        started.write(settings | {"policies": {"public": {"endpoints": ["models"]}, "narrow": {}}})
        guard.child.send_signal(signal.SIGHUP)
        await until(lambda: guard.stderr.count("new settings in force") == 2, 10)
        async with client(guard) as session:
            assert {(await ask(session)).code for _ in range(10)} == {"endpoint_not_allowed"}

    async def test_they_do_not_outlive_their_parent(
        self, fake: FakeOpenAI, started: Started, redis: RedisServer
    ) -> None:
        guard = await started(self.settings(fake, redis))
        pids = await self.both(guard)
        async with client(guard) as session, asyncio.TaskGroup() as group:
            stream = group.create_task(ask(session, stream=True))
            await fake.until(lambda: fake.answering == 1)
            guard.child.kill()
            await until(lambda: "the parent process has ended" in guard.stderr)
            fake.go.set()
            assert (await stream).said == fake.answer.text
        await until(lambda: not any(running(pid) for pid in pids))


def threads(pid: int) -> int:
    """How many threads a process has; none once it is gone."""
    try:
        return psutil.Process(pid).num_threads()
    except psutil.NoSuchProcess:
        return 0


def running(pid: int) -> bool:
    """Whether a process is there, and not one that only waits to be reaped."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
