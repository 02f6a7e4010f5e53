"""Prompts are kept where the operator asks for it, and nowhere else."""

from pathlib import Path
from typing import Any

import pytest

from tests.fakes.upstream import FakeUpstream
from tests.guarded import CHAT, COMPLETION, Guarded
from tests.serving import ADMIN_TOKEN

pytestmark = pytest.mark.anyio

SECRET = "a prompt that nobody should find"
ASKED = {**CHAT, "messages": [{"role": "user", "content": SECRET}]}
PATH = "/admin/v1/samples"


def guarded(directory: Path, **more: Any) -> Guarded:
    """A guard that keeps every prompt."""
    return Guarded(samples={"directory": str(directory), "share": 1.0, **more})


async def test_without_the_block_nothing_is_kept(tmp_path: Path) -> None:
    guard = Guarded()
    await guard.chat(ASKED)
    assert "sampled" not in guard.audit.line
    answer = await guard.ask(PATH, key=ADMIN_TOKEN)
    assert (answer.status, answer.error["code"]) == (404, "not_found")
    assert SECRET.encode() not in b"".join(guard.audit.texts)


async def test_an_operator_reads_them_and_that_is_on_record(tmp_path: Path) -> None:
    guard = guarded(tmp_path)
    await guard.chat(ASKED)
    served = guard.audit.line
    assert served["sampled"] is True
    await guard.ask("/v1/completions", {**COMPLETION, "prompt": "another"})
    completed = guard.audit.line["request_id"]
    shown = (await guard.ask(PATH, key=ADMIN_TOKEN)).json["data"]
    assert {each["request_id"] for each in shown} == {served["request_id"], completed}
    (first,) = (each for each in shown if each["request_id"] == served["request_id"])
    assert SECRET in first["prompt"]
    assert (first["user"], first["tenant"], first["endpoint"], first["model"]) == ("alice", "acme", "chat", "chat")
    line = guard.audit.line
    assert line["event"] == "samples_read"
    assert set(line["request_ids"]) == {served["request_id"], completed}
    assert SECRET.encode() not in b"".join(guard.audit.texts)


async def test_nobody_else_reads_them(tmp_path: Path) -> None:
    guard = guarded(tmp_path)
    await guard.chat(ASKED)
    for key in (None, "sk-alice", "wrong"):
        assert (await guard.ask(PATH, key=key)).status == 401


async def test_a_share_of_them_is_kept(tmp_path: Path) -> None:
    guard = guarded(tmp_path, share=0.25)
    for _ in range(400):
        await guard.chat()
    kept = sum(line.get("sampled", False) for line in guard.audit.lines)
    assert 55 <= kept <= 150  # 5.2 standard deviations around 100
    assert len((await guard.ask(f"{PATH}?limit=1000", key=ADMIN_TOKEN)).json["data"]) == kept


async def test_a_request_that_reaches_no_model_is_not_kept(tmp_path: Path) -> None:
    guard = guarded(tmp_path)
    await guard.chat({**ASKED, "model": "none"})
    await guard.chat({**ASKED, "unknown": 1})
    await guard.chat(ASKED, key="wrong")
    await guard.ask("/v1/models")
    assert not any(line.get("sampled") for line in guard.audit.lines)
    assert (await guard.ask(PATH, key=ADMIN_TOKEN)).json["data"] == []


async def test_a_file_that_cannot_be_written_fails_no_request(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "taken").touch()
    guard = guarded(tmp_path / "taken")
    assert (await guard.chat(ASKED)).status == 200
    assert "could not settle" in caplog.text
    assert SECRET not in caplog.text
    assert guard.upstream.open == 0
    answer = await guard.ask(PATH, key=ADMIN_TOKEN)
    assert (answer.status, answer.error["code"]) == (503, "store_unavailable")


async def test_an_upstream_that_fails_is_no_reason_not_to_keep(tmp_path: Path) -> None:
    guard = Guarded(FakeUpstream([RuntimeError("down")]), samples={"directory": str(tmp_path), "share": 1.0})
    await guard.chat(ASKED)
    assert len((await guard.ask(PATH, key=ADMIN_TOKEN)).json["data"]) == 1
