"""Answers are taken down where the policy says so, streamed or not, and nowhere else."""

from typing import Any

import pytest

from tests.fakes.upstream import FakeUpstream
from tests.guarded import CHAT, COMPLETION, STREAM, Guarded, settings

pytestmark = pytest.mark.anyio

DAY = 86_400.0
SAID = ("The keeper of the lighthouse counts ", "the ships that pass and writes each ", "name into a book.")


def guarded(watermark: dict[str, Any] | None) -> Guarded:
    guard = Guarded(FakeUpstream(SAID))
    guard.app.reload(settings(policies={"public": {"watermark": watermark}, "narrow": {}}))
    return guard


@pytest.mark.parametrize(("path", "body"), [("/v1/chat/completions", CHAT), ("/v1/chat/completions", STREAM),
                                            ("/v1/completions", COMPLETION),
                                            ("/v1/responses", {"model": "chat", "input": "hello"})])  # fmt: skip
async def test_what_an_answer_says_leads_to_its_request(path: str, body: dict[str, Any]) -> None:
    guard = guarded({"remember": "1d", "scheme": "none"})
    client = await guard.ask(path, body)
    assert client.status == 200
    (found,) = await guard.app.recollection.find("and here: COUNTS the ships that pass and writes each name", [DAY])
    assert found.source.request_id == guard.audit.line["request_id"]
    assert (found.source.key, found.source.tenant, found.source.model) == ("alice", "acme", "chat")


@pytest.mark.parametrize("watermark", [None, {}])
async def test_nothing_is_taken_down_otherwise(watermark: dict[str, Any] | None) -> None:
    guard = guarded(watermark)
    await guard.chat()
    assert await guard.app.recollection.find("".join(SAID), [DAY]) == []


async def test_a_marked_answer_names_its_watermark_key() -> None:
    guard = Guarded(FakeUpstream(SAID))
    tree = settings(policies={"public": {"watermark": {"remember": "1d"}}, "narrow": {}})
    fake = tree.upstreams["fake"].model_copy(update={"engine": "sglang"})
    guard.app.reload(tree.model_copy(update={"upstreams": {"fake": fake}}))
    await guard.chat()
    (found,) = await guard.app.recollection.find("".join(SAID), [DAY])
    assert found.source.watermark_key == guard.audit.line["watermark_key"]
