"""`llmguard lookup`: a file's text, asked of the guard, as a table, as JSON and as an exit status."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from llmguard.cli.main import app
from llmguard.cli.operator import Operator

ORIGIN = {"request_id": "req_1", "at": 0, "key": "alice", "tenant": "acme", "model": "chat", "watermark_key": "wm_1",
          "kept": 9, "matched": 3}  # fmt: skip


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What was asked of the guard, which answers ORIGIN to what holds the word `mine`."""
    found: list[Any] = []

    def ask(self: Operator, method: str, path: str, body: dict[str, str]) -> dict[str, Any]:
        found.append((method, path, body))
        return {"object": "list", "data": [ORIGIN] if "mine" in body["text"] else []}

    monkeypatch.setattr(Operator, "ask", ask)
    monkeypatch.setattr(Operator, "_load", lambda self, config: None)
    return found


def test_an_origin_is_shown_and_its_absence_is_an_exit_status(asked: list[Any], tmp_path: Path) -> None:
    text = tmp_path / "text.txt"
    text.write_text("this is mine")
    done = CliRunner().invoke(app, ["lookup", str(text)])
    assert done.exit_code == 0
    assert "req_1" in done.stdout
    assert "3 of 9" in done.stdout
    assert asked == [("POST", "watermark/lookup", {"text": "this is mine"})]
    assert json.loads(CliRunner().invoke(app, ["lookup", str(text), "--json"]).stdout)["data"] == [ORIGIN]
    assert CliRunner().invoke(app, ["lookup", "-"], input="not there").exit_code == 1


def test_what_cannot_be_read_is_bad_usage(asked: list[Any], tmp_path: Path) -> None:
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    (tmp_path / "large").write_text("x" * 200_001)
    for name in ("missing", "binary", "large"):
        assert CliRunner().invoke(app, ["lookup", str(tmp_path / name)]).exit_code == 2
    assert asked == []


def test_without_settings_there_is_no_guard_to_ask(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("x")
    assert CliRunner().invoke(app, ["lookup", str(tmp_path / "text")]).exit_code == 2
