"""`keys`, on a registry's file."""

import json
import stat
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from tests.watermark.made import sampled, tokenizer_file, unmarked
from watermark.cli.main import app
from watermark.keys.registry import FileRegistry

SECRET = "the secret of these tests, which is long enough"


class Shell:
    """Runs the commands on one registry."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.registry = directory / "keys.json"
        self.tokenizer = str(tokenizer_file(directory / "tokenizer.json"))

    def run(self, command: str, *arguments: str, secret: str = SECRET) -> Result:
        """The outcome of `watermark keys …`."""
        return CliRunner(env={"LLMGUARD_SECRET": secret}).invoke(
            app, ["keys", command, "--registry", str(self.registry), *arguments], catch_exceptions=False
        )

    def issue(self, *more: str, tenant: str = "acme", secret: str = SECRET) -> Result:
        """A new key's issue."""
        names = ("--tenant", tenant, "--model", "smollm2", "--tokenizer", self.tokenizer)
        return self.run("issue", *names, *more, secret=secret)

    def issued(self, *more: str, tenant: str = "acme") -> str:
        """A new key's id."""
        found = self.issue(*more, tenant=tenant)
        assert found.exit_code == 0, found.output
        return found.stdout.strip()

    def words(self, id: str) -> np.ndarray:
        """A key, by the file itself."""
        return next(record.key for record in FileRegistry(self.registry).records() if record.id == id)

    def detect(self, text: str, *arguments: str) -> Result:
        """The outcome of `watermark detect`."""
        (self.directory / "x.txt").write_text(text)
        return CliRunner().invoke(
            app,
            ["detect", str(self.directory / "x.txt"), "--tokenizer", self.tokenizer, *arguments, "--json"],
            catch_exceptions=False,
        )


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(tmp_path)


def test_a_text_is_traced_to_the_key_that_marked_it(shell: Shell):
    ids = [shell.issued(tenant=f"tenant-{number}") for number in range(5)]
    found = shell.detect(sampled(shell.words(ids[3]), 150), "--registry", str(shell.registry))
    assert found.exit_code == 0
    assert json.loads(found.stdout)["key_id"] == ids[3]
    assert json.loads(found.stdout)["tested_keys"] == 5
    assert shell.detect(unmarked(150), "--registry", str(shell.registry)).exit_code == 1


def test_no_word_of_a_key_and_no_secret_is_shown(shell: Shell):
    id = shell.issued()
    shown = "".join(shell.run(*command).output for command in (("list",), ("list", "--json"), ("rotate", id, "--json")))
    assert f"{int(shell.words(id)[0]):016x}" not in shown
    assert "words" not in shown
    assert SECRET not in shown
    assert shown.count(id) >= 2


def test_a_rotated_key_goes_on_verifying_and_a_revoked_one_does_not(shell: Shell):
    old = shell.issued()
    new = shell.run("rotate", old).stdout.strip()
    text = sampled(shell.words(old), 150)
    assert new != old
    assert shell.detect(text, "--registry", str(shell.registry), "--key", old).exit_code == 0
    assert json.loads(shell.run("revoke", old, "--json").stdout)["revoked_at"] > 0
    found = shell.detect(text, "--registry", str(shell.registry), "--key", old)
    assert (found.exit_code, found.stdout) == (2, "")
    assert "revoked" in found.stderr
    assert shell.detect(text, "--registry", str(shell.registry)).exit_code == 1
    states = shell.run("list").stdout
    assert "revoked" in states
    assert "marks" in states


def test_unknown_keys_are_said(shell: Shell):
    shell.issued()
    before = shell.registry.read_bytes()
    for command in ("rotate", "revoke", "export"):
        found = shell.run(command, "wm_0")
        assert (found.exit_code, found.stdout) == (2, "")
        assert "no watermark key has the id wm_0" in found.stderr
    found = shell.detect(unmarked(100), "--registry", str(shell.registry), "--key", "wm_0")
    assert found.exit_code == 2
    assert "no watermark key has the id wm_0" in found.stderr
    assert shell.registry.read_bytes() == before


def test_another_tokenizer_is_said(shell: Shell):
    shell.issued()
    tokenizer_file(shell.directory / "tokenizer.json", ["other", "words"])
    found = shell.detect(unmarked(100), "--registry", str(shell.registry))
    assert (found.exit_code, found.stdout) == (2, "")
    assert "for another tokenizer" in found.stderr


def test_a_bundle_verifies_and_names_no_tenant(shell: Shell):
    id, revoked = shell.issued(tenant="acme-bank"), shell.issued(tenant="other")
    shell.run("revoke", revoked)
    bundle = shell.directory / "bundle.json"
    assert shell.run("export", "--out", str(bundle)).stdout == ""
    assert stat.S_IMODE(bundle.stat().st_mode) == 0o600
    assert "acme" not in bundle.read_text()
    assert [key["id"] for key in json.loads(bundle.read_text())["keys"]] == [id]
    assert json.loads(shell.run("export", id).stdout) == json.loads(bundle.read_text())
    assert shell.detect(sampled(shell.words(id), 150), "--registry", str(bundle)).exit_code == 0
    assert shell.run("export", revoked).exit_code == 2


def test_a_bundle_that_cannot_be_written_leaves_nothing(shell: Shell):
    shell.issued()
    (shell.directory / "taken").mkdir()
    before = sorted(shell.directory.rglob("*"))
    for out in (shell.directory / "taken", shell.directory / "none" / "bundle.json"):
        found = shell.run("export", "--out", str(out))
        assert found.exit_code == 2
        assert "cannot be written" in found.stderr
    assert sorted(shell.directory.rglob("*")) == before


def test_an_unlucky_key_is_passed_over(shell: Shell):
    (shell.directory / "texts").mkdir()
    first = shell.words(shell.issued())
    shell.registry.unlink()
    for number in range(20):
        (shell.directory / "texts" / f"{number}.txt").write_text(sampled(first, 60, seed=number))
    shell.issued("--unmarked", str(shell.directory / "texts"))
    (record,) = FileRegistry(shell.registry).records()
    assert record.epoch == 2


def test_an_unlucky_successor_is_passed_over(shell: Shell):
    texts = shell.directory / "texts"
    texts.mkdir()
    id = shell.issued()
    second = shell.words(shell.run("rotate", id).stdout.strip())
    shell.registry.unlink()
    shell.issued()
    for number in range(20):
        (texts / f"{number}.txt").write_text(sampled(second, 60, seed=number))
    before = shell.registry.read_bytes()
    for more, said in (
        ((), "--unmarked needs the --tokenizer"),
        (("--tokenizer", "smollm2"), "for another tokenizer"),
        (("--tokenizer", "gpt-17"), "no tokenizer is known"),
    ):
        found = shell.run("rotate", id, "--unmarked", str(texts), *more)
        assert (found.exit_code, found.stdout) == (2, "")
        assert said in found.stderr
        assert shell.registry.read_bytes() == before
    found = shell.run("rotate", id, "--unmarked", str(texts), "--tokenizer", shell.tokenizer, "--json")
    assert json.loads(found.stdout)["epoch"] == 3


@pytest.mark.parametrize("scheme", ["kgw", "unigram", "synthid", "gumbel-sglang", "gumbel-vllm-dual"])
def test_every_scheme_can_be_issued_and_read_back(shell: Shell, scheme: str):
    shell.issued("--scheme", scheme)
    found = shell.detect(unmarked(10), "--registry", str(shell.registry))
    assert (found.exit_code, json.loads(found.stdout)["verdict"]) == (2, "cannot_tell")


@pytest.mark.parametrize(
    ("arguments", "secret", "said"),
    [
        ((), "short", "at least 32 bytes"),
        (("--secret", "plain-text-on-the-command-line"), SECRET, "--secret is env:NAME"),
        (("--secret", "env:NOWHERE"), SECRET, "env:NOWHERE must be set"),
        (("--vocabulary", "10"), SECRET, "the tokenizer has 600 tokens"),
        (("--tokenizer", "gpt-17"), SECRET, "no tokenizer is known"),
        (("--unmarked", "/nowhere"), SECRET, "20 are needed"),
        (("--registry", "/nowhere/keys.json"), SECRET, "cannot be opened"),
    ],
)
def test_bad_usage_is_said_and_nothing_is_written(shell: Shell, arguments: tuple[str, ...], secret: str, said: str):
    found = shell.issue(*arguments, secret=secret)
    assert (found.exit_code, found.stdout) == (2, "")
    assert said in found.stderr
    assert not shell.registry.exists()


@pytest.mark.parametrize("command", [("list",), ("revoke", "wm_0"), ("rotate", "wm_0"), ("export",)])
def test_a_registry_that_is_not_there_is_said_and_not_made(shell: Shell, command: tuple[str, ...]):
    found = shell.run(*command)
    assert found.exit_code == 2
    assert "there is no key registry" in found.stderr
    assert sorted(path.name for path in shell.directory.iterdir()) == ["tokenizer.json"]


def test_keys_hang_on_the_secret_alone(shell: Shell, tmp_path: Path):
    first = shell.words(shell.issued())
    shell.registry.unlink()
    assert shell.words(shell.issued()).tolist() == first.tolist()
    shell.registry.unlink()
    other = shell.issue(secret=SECRET[::-1]).stdout.strip()
    assert shell.words(other).tolist() != first.tolist()
