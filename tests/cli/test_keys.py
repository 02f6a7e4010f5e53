"""`llmguard keys`, on a store in a directory and on Redis."""

import asyncio
import json
import os
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from llmguard import keys
from llmguard.cli.keys import app
from llmguard.clock import SystemClock
from llmguard.settings import StoreSettings
from llmguard.store import open_store
from llmguard.store.store import KeyRecord
from tests.redis_server import RedisServer

SECRET = "the secret of these tests, which is long enough"
SETTINGS = """
secret: {secret}
store: {{url: "{url}", timeout_ms: 5000}}
upstreams: {{builtin: {{kind: embedded}}}}
models: {{smollm2: {{task: chat, upstream: builtin, model: smollm2-135m-instruct}}}}
policies: {{public: {{}}, staff: {{}}}}
"""
ALICE = ("--user", "alice", "--tenant", "acme", "--policy", "public")


class Shell:
    """Runs the commands with one settings file."""

    def __init__(self, directory: Path, url: str) -> None:
        self.url = url
        self.config = directory / "guard.yaml"
        self.config.write_text(SETTINGS.format(secret=SECRET, url=url))

    def run(self, *arguments: str) -> Result:
        """The outcome of `llmguard keys …`."""
        return CliRunner().invoke(app, [*arguments, "--config", str(self.config)])

    def issued(self, *more: str) -> dict[str, str]:
        """A new key of alice's."""
        issued: dict[str, str] = json.loads(self.run("issue", *ALICE, "--json", *more).stdout)
        return issued

    def holder(self, secret: str) -> KeyRecord | None:
        """Whose valid key it is, by the store itself."""
        records = asyncio.run(self._records())
        digest = keys.digest(keys.pepper(SECRET.encode()), secret.encode())
        return next((record for record in records if keys.valid(record, digest, SystemClock.time())), None)

    async def _records(self) -> list[KeyRecord]:
        store = open_store(StoreSettings(url=self.url, timeout_ms=5_000), clock=SystemClock())
        try:
            return await store.list_keys()
        finally:
            await store.close()


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    """Commands on a store in a directory."""
    return Shell(tmp_path, f"file:{tmp_path / 'data'}")


def test_an_issued_key_is_alone_on_stdout_and_valid(shell: Shell) -> None:
    result = shell.run("issue", *ALICE)
    assert result.exit_code == 0
    assert re.fullmatch(r"lg-[A-Za-z0-9_-]{43}\n", result.stdout)
    record = shell.holder(result.stdout.strip())
    assert record is not None
    assert (record.user, record.tenant, record.policy, record.expires_at) == ("alice", "acme", "public", None)
    assert record.id in result.stderr
    assert result.stdout.strip() not in result.stderr


def test_a_key_may_expire(shell: Shell) -> None:
    issued = shell.issued("--expires-in", "30d")
    assert int(issued["expires_at"]) - int(issued["created_at"]) == 30 * 86_400


def test_a_list_names_the_keys_and_shows_none(shell: Shell) -> None:
    first, second = shell.issued(), shell.issued("--expires-in", "30d")
    shell.run("revoke", first["id"])
    result = shell.run("list")
    assert result.exit_code == 0
    lines = {line.split()[1]: line for line in result.stdout.splitlines() if "key_" in line}
    assert "revoked" in lines[first["id"]]
    assert "active" in lines[second["id"]]
    listed = json.loads(shell.run("list", "--json").stdout)
    assert {key["id"] for key in listed["data"]} == {first["id"], second["id"]}
    for secret in (first["key"], second["key"]):
        assert secret not in result.stdout + json.dumps(listed)


def test_a_revoked_key_is_void(shell: Shell) -> None:
    issued = shell.issued()
    result = shell.run("revoke", issued["id"])
    assert (result.exit_code, result.stdout) == (0, "")
    assert shell.holder(issued["key"]) is None
    assert json.loads(shell.run("revoke", issued["id"], "--json").stdout) == {"id": issued["id"], "revoked": True}


def test_a_rotated_key_has_two_secrets_for_a_while(shell: Shell) -> None:
    old = shell.issued()
    new = shell.run("rotate", old["id"]).stdout.strip()
    assert shell.holder(old["key"]) == shell.holder(new) is not None
    newest = json.loads(shell.run("rotate", old["id"], "--overlap", "0s", "--json").stdout)
    assert newest["id"] == old["id"]
    assert shell.holder(newest["key"]) is not None
    assert shell.holder(new) is None


@pytest.mark.parametrize("command", ["revoke", "rotate"])
def test_an_unknown_id_is_a_negative_finding(shell: Shell, command: str) -> None:
    result = shell.run(command, "key_none")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "key_none" in result.stderr


def test_a_revoked_key_cannot_be_rotated(shell: Shell) -> None:
    issued = shell.issued()
    shell.run("revoke", issued["id"])
    assert shell.run("rotate", issued["id"]).exit_code == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ("issue", "--user", "alice"),
        ("issue", "--user", "alice", "--tenant", "acme", "--policy", "private"),
        ("issue", "--user", "a b", "--tenant", "acme", "--policy", "public"),
        ("issue", *ALICE, "--expires-in", "soon"),
        ("issue", *ALICE, "--expires-in", "0"),
        ("issue", *ALICE, "--expires-in", "nan"),
        ("issue", *ALICE, "--expires-in", "99999w"),
        ("rotate", "key_1", "--overlap", "-1s"),
        ("revoke",),
        ("vanish",),
    ],
)
def test_bad_usage(shell: Shell, arguments: tuple[str, ...]) -> None:
    result = shell.run(*arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr


def test_a_settings_file_with_mistakes_is_bad_usage(tmp_path: Path) -> None:
    shell = Shell(tmp_path, "nosuch:store")
    result = shell.run("list")
    assert result.exit_code == 2
    assert "store.url" in result.stderr
    assert SECRET not in result.stderr


@pytest.mark.parametrize("url", ["memory:", "redis://127.0.0.1:1/x"])
def test_a_store_that_cannot_be_shared_or_reached_is_bad_usage(tmp_path: Path, url: str) -> None:
    assert Shell(tmp_path, url).run("list").exit_code == 2


def test_a_store_that_fails_is_said_without_its_password(tmp_path: Path) -> None:
    result = Shell(tmp_path, "redis://:hidden@127.0.0.1:1").run("list")
    assert result.exit_code == 1
    assert "Redis" in result.stderr
    assert "hidden" not in result.stderr


def test_keys_are_issued_into_redis(tmp_path: Path) -> None:
    with RedisServer(tmp_path) as server:
        shell = Shell(tmp_path, server.url)
        assert shell.holder(shell.issued()["key"]) is not None


def test_without_a_file_the_keys_are_the_embedded_servers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert CliRunner().invoke(app, ["issue", *ALICE]).exit_code == 0
    assert sorted(os.listdir(tmp_path / "llmguard-data"))[0] == "llmguard.sqlite3"
