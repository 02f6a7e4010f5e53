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


@pytest.mark.parametrize(
    "fields",
    [{"regex": "a+"}, {"ebnf": "root ::= [a-z]+"}, {"json_schema": {"type": "object"}}],
)
async def test_what_an_engines_own_field_constrains_is_not_marked(fields: dict[str, Any]) -> None:
    upstream = FakeUpstream(extensions=list(fields))
    guard = await guarded({}, upstream=upstream)
    assert (await guard.chat({**CHAT, **fields})).status == 200
    assert upstream.marks == [None]


async def test_what_a_quota_degrades_a_request_to_is_marked_as_well() -> None:
    limit = {"per": "user", "of": "requests", "limit": 0, "on_exceed": "degrade", "models": ["chat"]}
    limits = [limit, {"per": "user", "of": "requests", "limit": 9}]
    policies = {"public": {"watermark": {}, "limits": limits, "degrade": {"model": "other"}}, "narrow": {}}
    guard = await guarded({}, policies=policies)
    assert (await guard.chat()).status == 200
    assert guard.upstream.marks == [expected("other")]


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


def picking(**changes: Any) -> dict[str, Any]:
    """A policy whose every answer is picked of four, with these limits and what else is told."""
    watermark = {"selection": {"fraction": 1.0, "candidates": 4, **changes.pop("selection", {})}}
    return {"public": {"watermark": watermark, **changes}, "narrow": {}}


async def test_a_picked_answer_reserves_and_spends_all_its_candidates() -> None:
    limits = [{"per": "user", "of": "output_tokens", "limit": 400}]
    guard = await guarded(None, engine="generic", policies=picking(limits=limits))
    assert (await guard.chat({**CHAT, "max_tokens": 101})).status == 429  # 4 x 101 are more than there is
    assert guard.upstream.requests == []
    client = await guard.chat({**CHAT, "max_tokens": 100})
    assert client.status == 200
    assert guard.upstream.requests[0].n == 4
    assert guard.upstream.marks == [None]  # nothing of it shows upstream
    line = guard.audit.line
    assert (line["watermark_scheme"], line["watermark_key"][:3]) == ("selection", "wm_")
    # What the upstream says it made of all candidates is what is spent, and what the client is told.
    assert line["output_tokens"] == USAGE.completion_tokens


async def test_without_a_cap_the_candidates_fit_into_the_limit_together() -> None:
    limits = [{"per": "user", "of": "output_tokens", "limit": 400}]
    guard = await guarded(None, engine="generic", policies=picking(limits=limits))
    assert (await guard.chat()).status == 200
    assert guard.upstream.requests[0].max_completion_tokens == 100


@pytest.mark.parametrize(("streaming", "asked"), [("unmarked", None), ("whole", 4), ("segments", 4)])
async def test_a_stream_is_picked_only_as_the_settings_choose(streaming: str, asked: int | None) -> None:
    guard = await guarded(None, engine="generic", policies=picking(selection={"streaming": streaming}))
    client = await guard.chat(STREAM)
    assert client.status == 200
    assert "Hello" in client.body.decode()
    assert client.body.endswith(b"data: [DONE]\n\n")
    assert guard.upstream.requests[0].n == asked


async def test_a_share_of_the_answers_is_picked() -> None:
    guard = await guarded(None, engine="generic", policies=picking(selection={"fraction": 0.5}))
    for _ in range(200):
        await guard.chat()
    assert 57 < sum(request.n == 4 for request in guard.upstream.requests) < 143


async def test_too_many_choices_are_not_picked() -> None:
    decoding = {"max_n": 128}
    guard = await guarded(None, engine="generic", policies=picking(decoding=decoding))
    await guard.chat({**CHAT, "n": 33})
    assert guard.upstream.requests[0].n == 33


async def test_unigram_is_a_bias_and_never_beside_logits() -> None:
    models = {
        name: {"task": "chat", "upstream": "fake", "model": "m", "vocabulary": 2000} for name in ("chat", "other")
    }
    policies = {"public": {"watermark": {"scheme": "unigram"}, "decoding": {"logprobs": "allow"}}, "narrow": {}}
    guard = await guarded(None, engine="generic", models=models, policies=policies)
    await guard.chat()
    await guard.chat({**CHAT, "logprobs": True})
    marked, plain = guard.upstream.requests
    assert marked.logit_bias is not None
    assert len(marked.logit_bias) == 300
    assert plain.logit_bias is None
