"""`llmguard risk`, against a running guard."""

import asyncio
import json
import random
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from typer.testing import CliRunner, Result

from llmguard.cli.main import app
from tests.fakes import FakeOpenAI
from tests.prompts.corpora import made_up
from tests.prompts.sessions import ATTACKS
from tests.serving import Running, http, running, tree

pytestmark = pytest.mark.anyio


class Shell:
    """A running guard and the command with its settings."""

    def __init__(self, guard: Running, config: Path) -> None:
        self.guard = guard
        self.config = config

    async def run(self, *arguments: str) -> Result:
        """The outcome of `llmguard risk …`, in a thread: the guard runs in this loop."""
        return await asyncio.to_thread(CliRunner().invoke, app, ["risk", *arguments, "--config", str(self.config)])

    async def json(self, *arguments: str) -> dict[str, Any]:
        """What it reports."""
        result = await self.run(*arguments, "--json")
        assert result.exit_code == 0, result.stderr
        found: dict[str, Any] = json.loads(result.stdout)
        return found


@pytest.fixture
async def shell(tmp_path: Path, anyio_backend: str) -> AsyncIterator[Shell]:
    """A guard that has served ninety prompts of one template."""
    async with FakeOpenAI() as fake:
        fake.go.set()
        settings = tree(fake.url, policies={"public": {"prompts": {"respond": ["throttle"]}}, "narrow": {}})
        config = tmp_path / "guard.yaml"
        async with running(settings) as guard:
            config.write_text(json.dumps({**settings, "server": {"port": urlsplit(guard.url).port}}))
            async with http(guard) as session:
                stream = ATTACKS["1 template"](made_up(40), random.Random(1), 90)
                body = {"model": "chat", "prompt": stream}
                async with session.post("/v1/completions", json=body) as answer:
                    assert answer.status == 200
            yield Shell(guard, config)


async def test_show_pardon_pin_and_unpin(shell: Shell) -> None:
    shown = await shell.json("show", "user", "alice")
    assert (shown["state"], shown["prompts"]) == ("throttled", 90)
    assert (await shell.json("pin", "key", "alice", "blocked", "--for", "1h"))["state"] == "blocked"
    assert (await shell.json("unpin", "key", "alice"))["state"] == "throttled"
    assert (await shell.json("pardon", "tenant", "acme"))["state"] == "normal"
    assert [alert["state"] for alert in (await shell.json("alerts", "--limit", "2"))["data"]] == ["normal", "throttled"]


async def test_tables_are_for_people(shell: Shell) -> None:
    result = await shell.run("show", "key", "alice")
    assert result.exit_code == 0
    for text in ("key alice: throttled", "90 prompts", "of 3.00", "flagged 20", "affix_"):
        assert text in result.stdout
    result = await shell.run("alerts")
    for text in ("key alice", "normal", "throttled"):
        assert text in result.stdout
    assert "normal" in (await shell.run("show", "key", "bob")).stdout


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (("show", "key", "none"), 1, "no such object"),
        (("show", "cluster", "none"), 1, "no such object"),
        (("show", "planet", "earth"), 2, "planet"),
        (("pin", "key", "alice", "hanged"), 2, "hanged"),
        (("alerts", "--limit", "0"), 2, "limit"),
    ],
)
async def test_what_cannot_be_done(shell: Shell, arguments: tuple[str, ...], status: int, said: str) -> None:
    result = await shell.run(*arguments)
    assert result.exit_code == status
    assert said in result.stderr
