"""What a policy makes of a request."""

from typing import Any

import pytest

from llmguard.decoding.engines import ENGINES, PLAIN, Defaults, Engine
from llmguard.decoding.verdict import MOST_CANDIDATES, spends, verdict
from llmguard.errors import Denial
from llmguard.settings_policies import Decoding
from tests.decoding.requests import chat, completion, either

PREFILL = {"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "Sure, "}]}


def outcome(fields: dict[str, Any], engine: Engine = PLAIN, **policy: Any) -> Any:
    """The changes, or the denial's code and parameter."""
    found = verdict(either(**fields), engine, Decoding(**policy))
    return (found.code, found.param) if isinstance(found, Denial) else found


def test_deterministic_decoding_is_refused_raised_or_allowed() -> None:
    for temperature in (0, 1e-6, 0.2):
        fields = {"temperature": temperature}
        assert outcome(fields) == ("deterministic_decoding", "temperature")
        assert outcome(fields, deterministic="raise") == {"temperature": 0.3}
        assert outcome(fields, deterministic="allow") == {}


def test_the_message_names_the_floor() -> None:
    denial = verdict(chat(temperature=0), PLAIN, Decoding(min_temperature=0.4))
    assert isinstance(denial, Denial)
    assert denial.text == "'temperature' must be at least 0.4 here."


def test_everything_below_a_floor_is_raised_at_once() -> None:
    fields = {"temperature": 0, "top_p": 0, "top_k": 1}
    # At the floor's temperature any cut would leave less to chance than the floor does.
    assert outcome(fields, deterministic="raise") == {"temperature": 0.3, "top_p": 1.0, "top_k": None}


def test_what_cannot_be_raised_is_refused() -> None:
    assert outcome({"guided_choice": ["a"]}, deterministic="raise") == ("deterministic_decoding", "guided_choice")


def test_a_default_below_the_floor_is_mended_for_a_client_that_did_not_ask_for_it() -> None:
    greedy = Engine(defaults=Defaults(temperature=0.0, top_k=1))
    assert outcome({}, greedy) == {"temperature": 0.3, "top_k": 0}
    assert outcome({"temperature": 0}, greedy) == ("deterministic_decoding", "temperature")


@pytest.mark.parametrize(
    ("field", "value", "dropped"),
    [
        ("seed", 7, {"seed": None}),
        ("logit_bias", {"5": 1.0}, {"logit_bias": None, "allowed_token_ids": None, "bad_words": None}),
        ("bad_words", ["x"], {"logit_bias": None, "allowed_token_ids": None, "bad_words": None}),
        ("logprobs", True, {"logprobs": None, "top_logprobs": None}),
    ],
)
def test_seed_bias_and_logits_are_refused_dropped_or_allowed(field: str, value: Any, dropped: dict[str, Any]) -> None:
    setting = "logit_bias" if field == "bad_words" else field
    assert outcome({field: value}) == ("parameter_not_allowed", field)
    assert outcome({field: value}, **{setting: "drop"}) == dropped
    assert outcome({field: value}, **{setting: "allow"}) == {}


def test_a_seed_of_zero_and_logprobs_of_zero_are_asked_for_too() -> None:
    assert outcome({"seed": 0}) == ("parameter_not_allowed", "seed")
    assert outcome({"prompt": "a", "logprobs": 0}) == ("parameter_not_allowed", "logprobs")
    assert outcome({"logprobs": False}) == {}


def test_a_forced_token_is_dropped_with_the_bias() -> None:
    assert outcome({"logit_bias": {"5": 100}}, logit_bias="drop")["logit_bias"] is None
    assert outcome({"logit_bias": {"5": 100}}, logit_bias="allow") == ("deterministic_decoding", "logit_bias")


@pytest.mark.parametrize("granted", ["coarse", "allow"])
@pytest.mark.parametrize("bias", [{"logit_bias": {"5": 1.0}}, {"allowed_token_ids": [1, 2]}, {"bad_words": ["x"]}])
def test_logits_and_bias_are_never_granted_together(granted: str, bias: dict[str, Any]) -> None:
    (name,) = bias
    found = outcome({"logprobs": True, **bias}, logprobs=granted, logit_bias="allow")
    assert found == ("parameter_not_allowed", name)


def test_coarse_logits_are_few_and_never_the_prompts() -> None:
    asked = {"logprobs": True, "top_logprobs": 20}
    assert outcome(asked, logprobs="coarse") == {"top_logprobs": MOST_CANDIDATES}
    assert outcome(asked, logprobs="allow") == {}
    echoed = {"prompt": "a", "logprobs": 1, "echo": True}
    assert outcome(echoed, logprobs="coarse") == ("parameter_not_allowed", "echo")
    assert outcome({"prompt": "a", "echo": True}, logprobs="coarse") == {}


@pytest.mark.parametrize("name", ENGINES)
def test_a_prefilled_answer_is_refused_where_the_engine_would_go_on_with_it(name: str) -> None:
    engine = ENGINES[name]
    assert outcome(PREFILL, engine) == (("parameter_not_allowed", "messages") if engine.prefills else {})
    assert outcome(PREFILL, engine, prefill="allow") == {}


def test_a_prefilled_answer_is_refused_that_is_spelt_out() -> None:
    fields = {**PREFILL, "continue_final_message": True}
    assert outcome(fields, ENGINES["vllm"]) == ("parameter_not_allowed", "continue_final_message")
    assert outcome(fields, ENGINES["vllm"], prefill="allow") == {}


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"n": 5}, "n"),
        ({"best_of": 5, "n": 4}, "best_of"),
        ({"max_tokens": 4097}, "max_tokens"),
        ({"max_completion_tokens": 4097}, "max_completion_tokens"),
        ({"prompt": ["a"] * 5}, "prompt"),
        ({"prompt": ["a"] * 3, "n": 2}, "prompt"),
    ],
)
def test_more_than_the_policy_gives_is_refused_even_where_determinism_is_allowed(
    fields: dict[str, Any], param: str
) -> None:
    assert outcome(fields, deterministic="allow") == ("invalid_value", param)


@pytest.mark.parametrize(
    "fields", [{"n": 4}, {"max_tokens": 4096}, {"prompt": list("abcdefgh")}, {"prompt": ["a", "a"], "n": 2}]
)
def test_as_much_as_the_policy_gives_is_not(fields: dict[str, Any]) -> None:
    assert outcome(fields) == {}


def test_only_what_sets_tokens_apart_spends_of_the_budget() -> None:
    assert spends(chat(temperature=1)) == frozenset()
    assert spends(completion(logit_bias={"1": 1.0})) == {"1"}


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        (
            {"temperature": 0.3, "top_p": 0.95},
            "'top_p' leaves too few candidates at a temperature of 0.3 and needs",
        ),
        ({"top_p": 0.2}, "'top_p' leaves too few candidates at any temperature here."),
    ],
)
def test_a_cut_is_told_what_temperature_pays_for_it(fields: dict[str, Any], said: str) -> None:
    denial = verdict(chat(**fields), PLAIN, Decoding())
    assert isinstance(denial, Denial)
    assert denial.text.startswith(said)
    if "needs" in said:
        least = float(denial.text.removesuffix(" here.").rpartition(" ")[2])
        assert verdict(chat(**fields | {"temperature": least}), PLAIN, Decoding()) == {}
