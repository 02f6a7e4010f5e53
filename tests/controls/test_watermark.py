"""Which answers are marked, under whose key, and what is written down of it."""

from typing import Any

import pytest

from llmguard.errors import Denial, UpstreamFailure
from llmguard.keys import derive
from llmguard.mark import Mark
from tests.fakes.upstream import USAGE, FakeUpstream
from tests.guarded import CHAT, COMPLETION, STREAM, UPSTREAM_URL, Guarded, settings
from tests.serving import KEY, OTHER_KEY, SECRET, tree
from watermark.keys.words import key_id, words

pytestmark = pytest.mark.anyio

MASTER = derive(SECRET.encode(), "watermark")
SCHEMA = {"type": "json_schema", "json_schema": {"name": "s", "schema": {"type": "object"}}}
FUNCTION = {"name": "f"}
TOOL = {"type": "function", "function": FUNCTION}


async def guarded(
    setting: dict[str, Any] | None, *, engine: str = "sglang", upstream: FakeUpstream | None = None, **changes: Any
) -> Guarded:
    """A guard in front of this engine; `setting` is the policies' `watermark`."""
    guard = Guarded(upstream or FakeUpstream(extensions=["top_k"]))
    fake = {"kind": "openai", "base_url": UPSTREAM_URL, "engine": engine, "max_retries": 0}
    policies = {name: {"watermark": setting} for name in ("public", "narrow")}
    guard.app.reload(settings(**{"upstreams": {"fake": fake}, "policies": policies, **changes}))
    return guard


def expected(model: str = "chat", tenant: str = "acme", epoch: int = 1) -> Mark:
    """The mark of a tenant's text, from the secret alone."""
    asked: dict[str, Any] = {"scheme": "gumbel-sglang", "tenant": tenant, "epoch": epoch, "model": model}
    (key,) = words(MASTER, **asked)
    return Mark(key_id(MASTER, **asked), "gumbel-sglang", 4, key)


@pytest.mark.parametrize("body", [CHAT, STREAM, {**CHAT, "response_format": {"type": "text"}}])
async def test_an_answer_is_marked_under_its_tenants_key_and_the_line_says_so(body: dict[str, Any]) -> None:
    guard = await guarded({})
    assert (await guard.chat(body)).status == 200
    assert guard.upstream.marks == [expected()]
    line = guard.audit.line
    assert (line["watermark_key"], line["watermark_scheme"]) == (expected().key_id, "gumbel-sglang")
    assert line["watermark_tokens"] == USAGE.completion_tokens
    assert f"{expected().key:x}" not in guard.audit.texts[-1].decode()


async def test_text_completions_and_responses_are_marked() -> None:
    guard = await guarded({})
    await guard.ask("/v1/completions", COMPLETION)
    await guard.ask("/v1/responses", {"model": "chat", "input": "hello"})
    assert guard.upstream.marks == [expected(), expected()]


async def test_tenants_models_and_epochs_have_keys_of_their_own() -> None:
    keys = tree("")["keys"]
    keys[1] |= {"tenant": "globex", "policy": "public"}
    guard = await guarded({"epoch": 2}, keys=keys)
    for key, model in ((KEY, "chat"), (KEY, "other"), (OTHER_KEY, "chat")):
        await guard.chat({**CHAT, "model": model}, key=key)
    assert guard.upstream.marks == [
        expected(epoch=2),
        expected("other", epoch=2),
        expected(tenant="globex", epoch=2),
    ]
    assert len({mark.key for mark in [*guard.upstream.marks, expected()] if mark}) == 4


@pytest.mark.parametrize(
    "setting", [None, {"scheme": "none"}, {"fraction": 0}, {"scheme": "kgw"}, {"scheme": "synthid"}]
)
async def test_what_the_policy_does_not_ask_for_is_not_marked(setting: dict[str, Any] | None) -> None:
    guard = await guarded(setting)
    assert (await guard.chat()).status == 200
    assert guard.upstream.marks == [None]
    assert "watermark_key" not in guard.audit.line


@pytest.mark.parametrize("engine", ["vllm", "generic"])
async def test_an_engine_without_a_field_for_it_gets_none(engine: str) -> None:
    guard = await guarded({}, engine=engine)
    await guard.chat()
    assert guard.upstream.marks == [None]
    assert "watermark_key" not in guard.audit.line


@pytest.mark.parametrize(
    "fields",
    [
        {"temperature": 0},
        {"top_k": 1},
        {"top_p": 0},
        {"response_format": {"type": "json_object"}},
        {"response_format": SCHEMA},
        {"tools": [TOOL]},
        {"tools": [TOOL], "tool_choice": "required"},
        {"functions": [FUNCTION]},
    ],
)
async def test_greedy_decoding_json_and_calls_are_never_marked(fields: dict[str, Any]) -> None:
    # Whether greedy decoding is allowed at all is another control's.
    policies = {"public": {"watermark": {}, "decoding": {"deterministic": "allow"}}, "narrow": {"models": ["other"]}}
    guard = await guarded({}, policies=policies)
    assert (await guard.chat({**CHAT, **fields})).status == 200
    assert guard.upstream.marks == [None]


@pytest.mark.parametrize(
    "fields",
    [
        {"temperature": 0.7},
        {"tools": [TOOL], "tool_choice": "none"},
        {"functions": [FUNCTION], "function_call": "none"},
    ],
)
async def test_what_merely_looks_like_it_is_marked(fields: dict[str, Any]) -> None:
    guard = await guarded({})
    assert (await guard.chat({**CHAT, **fields})).status == 200
    assert guard.upstream.marks == [expected()]


async def test_a_fraction_of_the_answers_is_marked() -> None:
    guard = await guarded({"fraction": 0.5})
    for _ in range(200):
        await guard.chat()
    # Six standard deviations of a fair coin.
    assert 57 < sum(mark is not None for mark in guard.upstream.marks) < 143


async def test_what_stands_in_marks_under_its_own_key_and_only_that_is_recorded() -> None:
    broken = FakeUpstream((UpstreamFailure(Denial("upstream_error"), retryable=False),), ("Hello",))
    models = {
        "chat": {"task": "chat", "upstream": "fake", "model": "a", "fallbacks": ["other"]},
        "other": {"task": "chat", "upstream": "fake", "model": "b"},
    }
    guard = await guarded({}, upstream=broken, models=models)
    assert (await guard.chat()).status == 200
    assert guard.upstream.marks == [expected("chat"), expected("other")]
    assert guard.audit.line["watermark_key"] == expected("other").key_id


async def test_nothing_of_the_key_is_in_a_marks_text() -> None:
    assert f"{expected().key}" not in repr(expected())
