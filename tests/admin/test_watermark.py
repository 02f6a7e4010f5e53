"""Detection and look-up over HTTP: what the command line says, for the operator alone, bounded."""

import asyncio
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from llmguard.admin.watermark import MOST_DOCUMENTS
from llmguard.keys import derive
from tests.fakes.connection import FakeClient
from tests.fakes.upstream import FakeUpstream
from tests.guarded import UPSTREAM_URL, Guarded, settings
from tests.serving import ADMIN_TOKEN, SECRET
from tests.watermark.made import VOCABULARY, sampled, tokenizer_file, unmarked
from watermark.keys.words import key_id, words
from watermark.schemes.gumbel import Vllm
from watermark.selection.pick import pick

pytestmark = pytest.mark.anyio

PATH = "/admin/v1/watermark"
MASTER = derive(SECRET.encode(), "watermark")


def key(scheme: str, tenant: str = "acme") -> tuple[int, str]:
    asked: dict[str, Any] = {"scheme": scheme, "tenant": tenant, "epoch": 1, "model": "chat"}
    return words(MASTER, **asked)[0], key_id(MASTER, **asked)


def guarded(tmp_path: Path, watermark: dict[str, Any] | None = None, **model: Any) -> Guarded:
    guard = Guarded(FakeUpstream())
    fake = {"kind": "openai", "base_url": UPSTREAM_URL, "engine": "vllm", "watermark_plugin": True}
    chat = {"task": "chat", "upstream": "fake", "model": "m", **model}
    setting = {} if watermark is None else watermark
    guard.app.reload(
        settings(
            upstreams={"fake": fake},
            models={"chat": chat, "other": {"task": "embedding", "upstream": "fake", "model": "e"}},
            policies={"public": {"watermark": setting}, "narrow": {"models": ["other"]}},
        )
    )
    return guard


def sized(tmp_path: Path) -> dict[str, Any]:
    return {"tokenizer": str(tokenizer_file(tmp_path / "tokenizer.json")), "vocabulary": VOCABULARY}


async def operator(guard: Guarded, path: str, body: object, **options: Any) -> FakeClient:
    return await guard.ask(f"{PATH}/{path}", body, **{"key": ADMIN_TOKEN, **options})


async def test_each_text_is_told_whose_mark_it_carries(tmp_path: Path) -> None:
    guard = guarded(tmp_path, **sized(tmp_path))
    word, id = key("gumbel-vllm")
    marked, foreign = sampled(np.array([word], np.uint64), 150, Vllm()), sampled(np.array([1], np.uint64), 150)
    documents = [{"name": "a", "text": marked}, {"text": foreign}, {"text": unmarked(150)}, {"text": " "}]
    answer = await operator(guard, "detect", {"model": "chat", "documents": documents})
    assert answer.status == 200, answer.body
    first, *others = answer.json["data"]
    assert (first["document"], first["verdict"], first["key_id"], first["tenant"]) == ("a", "marked", id, "acme")
    assert first["log10_p"] < -6
    assert [one["verdict"] for one in others] == ["not_marked", "not_marked", "cannot_tell"]
    elsewhere = {"model": "chat", "documents": documents[:1], "tenants": ["globex", "initech"]}
    assert (await operator(guard, "detect", elsewhere)).json["data"][0]["verdict"] == "not_marked"


async def test_picked_answers_are_judged_together_and_need_no_tokenizer(tmp_path: Path) -> None:
    guard = guarded(tmp_path, {"scheme": "unigram", "selection": {}})
    word, id = key("selection")
    generator, documents = np.random.default_rng(1), []
    for _ in range(60):
        some = [" ".join(f"w{word}" for word in generator.integers(0, 3000, 20)) for _ in range(4)]
        documents.append({"text": some[pick(word, some, generator)]})
    (found,) = (await operator(guard, "detect", {"model": "chat", "documents": documents})).json["data"]
    assert (found["verdict"], found["key_id"], found["tenant"]) == ("marked", id, "acme")


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"model": "other"}, "model"), ({"model": "nothing"}, "model"), ({"documents": []}, "documents"),
        ({"documents": [{"text": "x"}] * (MOST_DOCUMENTS + 1)}, "documents"), ({"tenants": []}, "tenants"),
        ({"fpr": 0}, "fpr"), ({"x": 1}, "x"),
    ],
)  # fmt: skip
async def test_what_makes_no_sense_is_refused(tmp_path: Path, body: dict[str, Any], param: str) -> None:
    guard = guarded(tmp_path, **sized(tmp_path))
    answer = await operator(guard, "detect", {"model": "chat", "documents": [{"text": "x"}], **body})
    assert (answer.status, answer.json["error"]["param"]) == (400, param)


async def test_a_model_that_nobody_marks_or_whose_tokenizer_is_not_here_is_said(tmp_path: Path) -> None:
    body = {"model": "chat", "documents": [{"text": "a text"}]}
    unmarked_ = guarded(tmp_path, {"scheme": "none"}, **sized(tmp_path))
    assert "No policy" in (await operator(unmarked_, "detect", body)).json["error"]["message"]
    without = guarded(tmp_path)
    assert "tokenizer" in (await operator(without, "detect", body)).json["error"]["message"]
    broken = guarded(tmp_path, tokenizer=str(tmp_path / "missing.json"))
    answer = await operator(broken, "detect", body)
    assert answer.status == 400
    assert "missing.json" not in answer.body.decode()


@pytest.mark.parametrize("path", ["detect", "lookup"])
async def test_only_the_operator_may_and_bodies_are_bounded(tmp_path: Path, path: str) -> None:
    guard = guarded(tmp_path)
    assert (await operator(guard, path, {}, key="wrong")).status == 401
    large = {"text": "x" * 300_000}
    assert (await operator(guard, path, large)).status == 413


async def test_a_text_is_looked_up(tmp_path: Path) -> None:
    guard = guarded(tmp_path, {"remember": "1d"})
    guard.upstream.scripts = [("a keeper of a lighthouse counts the ships ", "that pass in the night")]
    await guard.chat()
    answer = await operator(guard, "lookup", {"text": "COUNTS the ships that pass in the night"})
    (origin,) = answer.json["data"]
    line = guard.audit.line
    assert (origin["request_id"], origin["key"], origin["watermark_key"]) == (
        line["request_id"], line["key"], line["watermark_key"],
    )  # fmt: skip
    assert 0 < origin["matched"] <= origin["kept"]
    assert (await operator(guard, "lookup", {"text": "words that nobody has ever said here"})).json["data"] == []


async def test_the_loop_goes_on_while_a_text_is_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    guard, seen = guarded(tmp_path, **sized(tmp_path)), []

    def slow(*_: object) -> list[dict[str, object]]:
        # A thread of its own: the loop could otherwise not have served a chat meanwhile.
        deadline = time.monotonic() + 20
        while not seen and time.monotonic() < deadline:
            time.sleep(0.001)
        return []

    monkeypatch.setattr("llmguard.admin.watermark._detected", slow)

    async with asyncio.TaskGroup() as group:
        group.create_task(operator(guard, "detect", {"model": "chat", "documents": [{"text": "x"}]}))
        await asyncio.sleep(0)
        seen.append((await guard.chat()).status)
    assert seen == [200]
