"""`llmguard quota`, against a running guard."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from typer.testing import CliRunner, Result

from llmguard.cli.main import app
from tests.asking import ask
from tests.fakes import FakeOpenAI
from tests.ports import free_port
from tests.serving import Running, http, running, tree

pytestmark = pytest.mark.anyio

LIMITS = [
    {"per": "user", "of": "tokens", "limit": 20_000, "every": "1m"},
    {"per": "user", "of": "requests", "limit": 5},
]


class Shell:
    """A running guard and the command with its settings."""

    def __init__(self, guard: Running, config: Path) -> None:
        self.guard = guard
        self.config = config

    async def run(self, *arguments: str) -> Result:
        """The outcome of `llmguard quota …`, in a thread: the guard runs in this loop."""
        return await asyncio.to_thread(CliRunner().invoke, app, ["quota", *arguments, "--config", str(self.config)])

    async def limits(self, *arguments: str) -> list[dict[str, Any]]:
        """The limits that it reports."""
        result = await self.run(*arguments, "--json")
        assert result.exit_code == 0, result.stderr
        limits: list[dict[str, Any]] = json.loads(result.stdout)["limits"]
        return limits


@pytest.fixture
async def shell(tmp_path: Path, anyio_backend: str) -> AsyncIterator[Shell]:
    """A guard that has served one request of alice's."""
    async with FakeOpenAI() as fake:
        fake.go.set()
        settings = tree(fake.url, policies={"public": {"limits": LIMITS}, "narrow": {}})
        config = tmp_path / "guard.yaml"
        async with running(settings) as guard:
            config.write_text(json.dumps({**settings, "server": {"port": urlsplit(guard.url).port}}))
            async with http(guard) as session:
                assert (await ask(session)).status == 200
            yield Shell(guard, config)


async def test_show_reset_and_grant(shell: Shell) -> None:
    tokens, requests = await shell.limits("show", "user", "alice")
    assert tokens["spent"] > 0
    assert (requests["spent"], requests["remaining"], requests["every_s"]) == (1, 4, None)
    _, requests = await shell.limits("grant", "user", "alice", "--of", "requests", "--amount", "3")
    assert requests["remaining"] == 7
    tokens, requests = await shell.limits("reset", "user", "alice")
    assert (tokens["spent"], requests["spent"], requests["remaining"]) == (0, 0, 5)


async def test_the_table_is_for_people(shell: Shell) -> None:
    result = await shell.run("show", "user", "alice")
    assert result.exit_code == 0
    for text in ("user alice", "20,000", "1m0s", "tokens", "remaining"):
        assert text in result.stdout
    assert "No limit counts this." in (await shell.run("show", "tenant", "acme")).stdout


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (("show", "key", "none"), 1, "no such object"),
        (("grant", "user", "alice", "--of", "credits", "--amount", "3"), 1, "No limit counts this"),
        (("show", "planet", "earth"), 2, "planet"),
        (("grant", "user", "alice", "--amount", "0"), 2, "amount"),
    ],
)
async def test_what_cannot_be_done(shell: Shell, arguments: tuple[str, ...], status: int, said: str) -> None:
    result = await shell.run(*arguments)
    assert result.exit_code == status
    assert said in result.stderr


async def test_without_a_guard_a_token_or_settings(shell: Shell, tmp_path: Path) -> None:
    given = json.loads(shell.config.read_text())
    alone = tmp_path / "alone.yaml"
    other = Shell(shell.guard, alone)
    alone.write_text(json.dumps({**given, "server": {"port": free_port()}}))
    result = await other.run("show", "user", "alice")
    assert (result.exit_code, "no guard answers" in result.stderr) == (1, True)
    alone.write_text(json.dumps({**given, "admin": {"token": "another-token-than-the-guard-has"}}))
    result = await other.run("show", "user", "alice")
    assert result.exit_code == 2
    assert "another-token" not in result.stderr
    alone.write_text(json.dumps({**given, "admin": {}}))
    assert (await other.run("show", "user", "alice")).exit_code == 2
    result = await asyncio.to_thread(CliRunner().invoke, app, ["quota", "show", "user", "alice"])
    assert (result.exit_code, "--config" in result.stderr) == (2, True)
