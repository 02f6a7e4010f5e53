"""Decoding through the application: refused, raised, told, budgeted."""

from typing import Any

import pytest

from llmguard.settings import Settings
from tests.fakes.upstream import FakeUpstream
from tests.guarded import CHAT, COMPLETION, STREAM, Guarded
from tests.serving import OTHER_KEY, tree

pytestmark = pytest.mark.anyio

GREEDY = {**CHAT, "temperature": 0}


def policy(**decoding: Any) -> dict[str, Any]:
    """The tests' policies with these rules of decoding."""
    return {"public": {"decoding": decoding}, "narrow": {}}


async def test_without_the_control_a_client_decodes_greedily_and_with_it_does_not() -> None:
    upstream = FakeUpstream()
    bare = Guarded(upstream, without=["decoding"])
    assert (await bare.chat(GREEDY)).status == 200
    assert upstream.requests[0].temperature == 0
    client = await Guarded(upstream).chat(GREEDY)
    assert (client.status, client.error["code"], client.error["param"]) == (
        400,
        "deterministic_decoding",
        "temperature",
    )
    assert client.error["message"] == "'temperature' must be at least 0.3 here."
    assert client.headers["x-should-retry"] == "false"
    assert len(upstream.requests) == 1


@pytest.mark.parametrize("policies", [{"public": {}, "narrow": {}}, {"public": {"decoding": None}, "narrow": {}}])
async def test_a_policy_that_says_nothing_has_the_defaults(policies: dict[str, Any]) -> None:
    assert (await Guarded(policies=policies).chat(GREEDY)).status == 400


@pytest.mark.parametrize("body", [GREEDY, {**GREEDY, "stream": True}])
async def test_raised_is_sent_and_told(body: dict[str, Any]) -> None:
    upstream = FakeUpstream()
    client = await Guarded(upstream, policies=policy(deterministic="raise", seed="drop")).chat({**body, "seed": 1})
    assert client.status == 200
    assert client.headers["x-llmguard-decoding"] == "seed=dropped, temperature=0.3"
    assert (upstream.requests[0].temperature, upstream.requests[0].seed) == (0.3, None)


@pytest.mark.parametrize("body", [CHAT, STREAM, {**CHAT, "temperature": 0.7, "top_p": 0.9, "n": 2, "max_tokens": 9}])
async def test_an_honest_request_is_neither_changed_nor_told_anything(body: dict[str, Any]) -> None:
    upstream, bare = FakeUpstream(), FakeUpstream()
    client = await Guarded(upstream).chat(body)
    await Guarded(bare, without=["decoding"]).chat(body)
    assert client.status == 200
    assert "x-llmguard-decoding" not in client.headers
    assert upstream.requests == bare.requests


async def test_allowed_is_sent_as_it_came() -> None:
    upstream = FakeUpstream()
    guard = Guarded(upstream, policies=policy(deterministic="allow", seed="allow"))
    assert (await guard.chat({**GREEDY, "seed": 1})).status == 200
    assert (upstream.requests[0].temperature, upstream.requests[0].seed) == (0, 1)


async def test_an_observer_notes_and_changes_nothing() -> None:
    upstream = FakeUpstream()
    guard = Guarded(upstream, mode="observe", policies=policy(deterministic="raise"))
    for body in (GREEDY, {**CHAT, "n": 9}, {**CHAT, "seed": 1}):
        assert (await guard.chat(body)).status == 200
    assert [request.temperature for request in upstream.requests] == [0, None, None]
    noted = [line["observed"] for line in guard.audit.lines]
    assert noted == [["deterministic_decoding"], ["invalid_value"], ["parameter_not_allowed"]]


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"max_output_tokens": 5000}, "max_output_tokens"),
        ({"top_logprobs": 3}, "top_logprobs"),
        ({"temperature": 0}, "temperature"),
        (
            {"text": {"format": {"type": "json_schema", "name": "n", "schema": {"const": 1}}}},
            "text.format",
        ),
    ],
)
async def test_a_response_is_told_in_its_own_words(fields: dict[str, Any], param: str) -> None:
    client = await Guarded().ask("/v1/responses", {"model": "chat", "input": "hi", **fields})
    assert (client.status, client.error["param"]) == (400, param)
    assert client.error["message"].startswith(f"'{param}'")


async def test_a_text_completion_is_judged_too() -> None:
    client = await Guarded().ask("/v1/completions", {**COMPLETION, "best_of": 4})
    assert (client.error["code"], client.error["param"]) == ("deterministic_decoding", "best_of")


STAND_IN = {"task": "chat", "upstream": "fake", "model": "real-2", "defaults": {"temperature": 0.01, "top_k": 1}}
OWN = {"task": "chat", "upstream": "fake", "model": "real"}
VLLM = {"kind": "openai", "base_url": "http://upstream.invalid/v1", "engine": "vllm"}


@pytest.mark.parametrize(
    ("own", "policies"),
    [
        ({"fallbacks": ["other"]}, {"public": {}, "narrow": {}}),
        ({}, {"public": {"degrade": {"model": "other"}}, "narrow": {}}),
    ],
)
async def test_the_narrowest_default_of_a_model_and_its_stand_ins_counts(
    own: dict[str, Any], policies: dict[str, Any]
) -> None:
    models = {"chat": {**OWN, **own}, "other": STAND_IN}
    for engine, told in (("vllm", "temperature=0.3, top_k=0"), ("generic", "temperature=0.3")):
        settings = tree("", models=models, policies=policies, upstreams={"fake": {**VLLM, "engine": engine}})
        upstream = FakeUpstream()
        guard = Guarded(upstream, **{name: settings[name] for name in ("models", "policies")}, keys=settings["keys"])
        guard.app.reload(Settings.model_validate(settings))
        client = await guard.chat()
        assert client.headers["x-llmguard-decoding"] == told
        assert upstream.requests[0].temperature == 0.3


# --- the budget of biased tokens -------------------------------------------------------------


def biased(*tokens: int) -> dict[str, Any]:
    """A chat that biases these."""
    return {**CHAT, "logit_bias": {str(token): 1 for token in tokens}}


async def test_biased_tokens_are_a_budget_of_the_tenant() -> None:
    upstream = FakeUpstream()
    guard = Guarded(upstream, policies=policy(logit_bias="allow", max_biased_tokens=5))
    assert (await guard.chat(biased(1, 2, 3))).status == 200
    assert (await guard.chat(biased(4, 5))).status == 200
    client = await guard.chat(biased(6))
    assert (client.status, client.error["code"]) == (429, "insufficient_quota")
    assert 0 < float(client.headers["retry-after"]) <= 86_400 * 17 / 16
    assert len(upstream.requests) == 2
    guard.clock.advance(86_400 * 17 / 16)
    assert (await guard.chat(biased(6))).status == 200


async def test_two_users_of_a_tenant_learn_no_more_than_one() -> None:
    granted = {"decoding": {"logit_bias": "allow", "max_biased_tokens": 5}}
    guard = Guarded(policies={"public": granted, "narrow": granted})
    assert (await guard.chat(biased(1, 2, 3))).status == 200
    assert (await guard.chat(biased(1, 2, 3), key=OTHER_KEY)).status == 200
    client = await guard.chat(biased(4, 5, 6), key=OTHER_KEY)
    assert (client.status, client.error["code"]) == (429, "insufficient_quota")


async def test_a_set_that_was_paid_for_is_free_for_the_day() -> None:
    guard = Guarded(policies=policy(logit_bias="allow", max_biased_tokens=2))
    for _ in range(5):
        assert (await guard.chat(biased(1, 2))).status == 200
    assert (await guard.chat(biased(3))).status == 429
    assert (await guard.chat(biased(2, 1))).status == 200


async def test_more_tokens_than_the_budget_are_never_served() -> None:
    guard = Guarded(policies=policy(logit_bias="allow", max_biased_tokens=2))
    client = await guard.chat(biased(1, 2, 3))
    assert (client.status, client.headers["x-should-retry"]) == (429, "false")


async def test_a_bias_that_is_dropped_costs_nothing() -> None:
    upstream = FakeUpstream()
    guard = Guarded(upstream, policies=policy(logit_bias="drop", max_biased_tokens=0))
    assert (await guard.chat(biased(1))).status == 200
    assert upstream.requests[0].logit_bias is None
