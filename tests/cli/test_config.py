"""`llmguard config`: exit codes, one line a mistake, JSON, and a quick start."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from llmguard.cli.main import app

EXAMPLE = Path(__file__).parents[1] / "example.yaml"
ENVIRON = {
    "LLMGUARD_SECRET": "master-secret-of-forty-bytes-0123456789a",
    "LLMGUARD_ADMIN_TOKEN": "admin-token-0123456789",
    "UPSTREAM_KEY": "upstream-key-0123456789",
    "ANTHROPIC_API_KEY": "anthropic-key-0123456789",
    "ALICE_KEY": "alice-key-0123456789",
}


def run(*arguments: object) -> Result:
    """One command, with the example's variables set."""
    return CliRunner(env=ENVIRON).invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    """The example with a misspelt mode, a misspelt key and a secret in the wrong place."""
    path = tmp_path / "broken.yaml"
    content = EXAMPLE.read_text().replace("mode: enforce", "mode: enforced").replace("port: 8080", "prot: 8080")
    path.write_text(content.replace("anthropic/claude-sonnet", "env:ANTHROPIC_API_KEY"))
    return path


def test_valid_file() -> None:
    result = run("config", "check", EXAMPLE)
    assert result.exit_code == 0
    assert result.stdout == f"{EXAMPLE}: valid\n"
    assert "warning: policies.public.watermark: the text of chat-small is not marked" in result.stderr


def test_mistakes_are_one_a_line(broken: Path) -> None:
    result = run("config", "check", broken)
    assert result.exit_code == 1
    assert result.stdout.splitlines() == [
        f"{broken}:1: mode: must be 'enforce' or 'observe'",
        f"{broken}:3: server.prot: is not a known key; did you mean 'port'?",
        f"{broken}:16: models.claude.model: env: is for secrets and store.url only",
    ]


def test_mistakes_as_json(broken: Path) -> None:
    result = run("config", "check", broken, "--json")
    assert result.exit_code == 1
    report = json.loads(result.stdout)
    assert report["valid"] is False
    assert report["warnings"] == []
    assert report["mistakes"][0] == {"line": 1, "key": "mode", "message": "must be 'enforce' or 'observe'"}


def test_warnings_as_json() -> None:
    report = json.loads(run("config", "check", EXAMPLE, "--json").stdout)
    assert (report["valid"], report["mistakes"]) == (True, [])
    assert "policies.public.watermark" in [warning["key"] for warning in report["warnings"]]


def test_mistake_without_a_line(tmp_path: Path) -> None:
    path = tmp_path / "large.yaml"
    path.write_bytes(b"#" * (2 << 20))
    assert run("config", "check", path).stdout == f"{path}: is larger than 1048576 bytes\n"


@pytest.mark.parametrize(
    "arguments", [["config", "check"], ["config", "check", "no-such-file"], ["config", "check", "."], ["config", "x"]]
)
def test_bad_usage(arguments: list[str]) -> None:
    assert run(*arguments).exit_code == 2


def test_no_secret_is_printed(broken: Path) -> None:
    for result in (run("config", "check", EXAMPLE), run("config", "check", broken, "--json"), run("config", "schema")):
        assert not [secret for secret in ENVIRON.values() if secret in result.output]


def test_schema() -> None:
    result = run("config", "schema")
    assert result.exit_code == 0
    assert json.loads(result.stdout)["title"] == "llmguard settings"


@pytest.mark.parametrize("arguments", [["--help"], ["config", "--help"], ["config", "check", "--help"], ["--version"]])
def test_help_and_version(arguments: list[str]) -> None:
    result = run(*arguments)
    assert result.exit_code == 0
    assert result.stdout


def test_a_check_imports_no_web_framework() -> None:
    heavy = "{'aiohttp', 'fastapi', 'starlette', 'uvicorn', 'redis', 'torch', 'litellm'}"
    code = f"import sys, llmguard.__main__; sys.exit(', '.join({heavy} & set(sys.modules)) or 0)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
