"""The official Node SDK against the running guard: node/check.mjs, run once; each of its checks is a test here.

`.ci/run` installs the SDK into build/node. Without Node or the SDK these tests are skipped, and fail where CI is set.
"""

import asyncio
import json
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.fakes import Answer, FakeOpenAI, Fault
from tests.sdk.setting import ARGUMENTS
from tests.serving import KEY, running, tree

pytestmark = pytest.mark.anyio

CHECKS = (
    "chat",
    "stream",
    "tools",
    "streamed_tools",
    "run_tools",
    "parse_and_back",
    "completions",
    "responses",
    "responses_tools",
    "models",
    "errors",
    "retries",
    "broken_streams",
    "abort",
)
SCRIPT = Path(__file__).parent / "node" / "check.mjs"
MODULES = Path(__file__).parents[2] / "build" / "node" / "node_modules"
BROKEN: dict[str, Fault] = {"broken": Fault.STATUS(500), "cut": Fault.CUT.after(3)}
RUN_S = 45.0


@dataclass
class Run:
    """What the script printed, and the upstreams that it was answered by."""

    outcome: dict[str, str]
    fakes: dict[str, FakeOpenAI]


@pytest.fixture(scope="module")
async def run() -> AsyncIterator[Run]:
    """Run the script once."""
    node = shutil.which("node")
    if node is None or not (MODULES / "openai").is_dir():
        missing = "node is not installed" if node is None else f"{MODULES}/openai is missing; .ci/run installs it"
        if os.environ.get("CI"):
            pytest.fail(missing)
        pytest.skip(missing)
    async with AsyncExitStack() as stack:
        names = ("chat", "broken", "flaky", "cut", "paused", "json")
        fakes = {name: await stack.enter_async_context(FakeOpenAI()) for name in names}
        for name, fault in BROKEN.items():
            fakes[name].fault = fault
        fakes["flaky"].script(Fault.STATUS(500), None)
        fakes["paused"].answer = Answer(pause_after=2)
        fakes["json"].answer = Answer(chunks=(ARGUMENTS,))
        guard = await stack.enter_async_context(running(settings(fakes)))
        env = {**os.environ, "GUARD": guard.v1, "KEY": KEY, "MODULES": str(MODULES)}
        pipe = asyncio.subprocess.PIPE
        child = await asyncio.create_subprocess_exec(node, SCRIPT, env=env, stdout=pipe, stderr=pipe)
        try:
            async with asyncio.timeout(RUN_S):
                out, err = await child.communicate()
        finally:
            if child.returncode is None:
                child.kill()
        assert child.returncode == 0, err.decode()
        await fakes["paused"].until(lambda: fakes["paused"].disconnects == 2)
        yield Run(json.loads(out), fakes)
    guard.audit.ended()


def settings(fakes: dict[str, FakeOpenAI]) -> dict[str, object]:
    """A model, and an upstream, for each fake; `org/model` is another name of `chat`."""
    made = tree("http://unused.invalid")
    plain = made["upstreams"]["fake"]
    made["upstreams"] = {name: {**plain, "base_url": fake.url} for name, fake in fakes.items()}
    upstreams = {"chat": "chat", "org/model": "chat", **{name: name for name in fakes}}
    made["models"] = {name: {"task": "chat", "upstream": up, "model": "m"} for name, up in upstreams.items()}
    made["policies"]["narrow"]["models"] = ["org/model"]
    return made


@pytest.mark.parametrize("check", CHECKS)
async def test_check(run: Run, check: str) -> None:
    assert run.outcome[check] == "ok"


async def test_every_check_is_here(run: Run) -> None:
    assert tuple(run.outcome) == CHECKS


async def test_a_failure_that_helps_to_repeat_is_repeated_once(run: Run) -> None:
    assert len(run.fakes["flaky"].requests) == 2


async def test_an_abort_closes_the_upstream(run: Run) -> None:
    assert run.fakes["paused"].disconnects == 2
