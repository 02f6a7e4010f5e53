"""Which requests leave too little to chance, and what mends them."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from llmguard.decoding.engines import ENGINES, Defaults
from llmguard.decoding.judgement import breaches
from llmguard.settings_policies import Decoding
from tests.decoding.requests import chat, either

PLAIN, FLOORS = Defaults(), Decoding()


def culprits(defaults: Defaults = PLAIN, floors: Decoding = FLOORS, **fields: Any) -> list[str]:
    """The fields at fault, each once: one can lie below its floor, and be too narrow where it is lifted to it."""
    return list(dict.fromkeys(breach.param for breach in breaches(either(**fields), defaults, floors)))


@pytest.mark.parametrize(
    ("fields", "culprit"),
    [
        ({"temperature": 0}, "temperature"),
        ({"temperature": 1e-6}, "temperature"),
        ({"temperature": 0.29}, "temperature"),
        ({"top_p": 0}, "top_p"),
        ({"top_p": 0.09}, "top_p"),
        ({"top_k": 1}, "top_k"),
        ({"temperature": 0.3, "top_k": 1}, "top_k"),
        ({"temperature": 2, "top_k": 1}, "top_k"),
        ({"min_p": 1}, "min_p"),
        ({"typical_p": 0.01}, "typical_p"),
        ({"top_n_sigma": 0.01}, "top_n_sigma"),
        ({"top_n_sigma": 0}, "top_n_sigma"),
        ({"repetition_penalty": 1e9}, "repetition_penalty"),
        ({"repetition_penalty": 1e-9}, "repetition_penalty"),
        ({"repeat_penalty": 0.2}, "repeat_penalty"),
        ({"temperature": 0.8, "dynatemp_range": 0.8}, "dynatemp_range"),
        ({"mirostat": 2, "mirostat_tau": 0}, "mirostat_tau"),
        ({"mirostat": 1, "mirostat_eta": 1e6}, "mirostat_eta"),
        ({"xtc_probability": 1, "xtc_threshold": 0}, "xtc_probability"),
        ({"temperature": 0.5, "samplers": ["temperature", "temperature"]}, "samplers"),
        ({"use_beam_search": True}, "use_beam_search"),
        ({"best_of": 4, "n": 1}, "best_of"),
        ({"logit_bias": {"7": 100}}, "logit_bias"),
        ({"logit_bias": {"7": 10}, "temperature": 1, "top_p": 0.9}, "logit_bias"),
        ({"logit_bias": {"7": 4.5}, "temperature": 0.45, "min_p": 0.1}, "logit_bias"),
        ({"logit_bias": {"7": 10}, "temperature": 1, "top_k": 40}, "logit_bias"),
        ({"allowed_token_ids": [7]}, "allowed_token_ids"),
        ({"guided_choice": ["yes"]}, "guided_choice"),
        ({"top_p": 0.3}, "top_p"),
        ({"temperature": 2, "top_p": 0.3}, "top_p"),
        ({"temperature": 0.3, "top_p": 0.95}, "top_p"),
        ({"temperature": 0.3, "top_k": 40, "top_p": 0.95}, "top_p"),
        ({"temperature": 1, "top_p": 0.5, "top_k": 2}, "top_p"),
        ({"temperature": 0.7, "min_p": 0.3}, "min_p"),
        ({"temperature": 0.3, "top_k": 2}, "top_k"),
        ({"temperature": 0.8, "typical_p": 0.6, "top_p": 0.8}, "typical_p"),
        ({"temperature": 0.9, "dynatemp_range": 0.5, "top_p": 0.8}, "top_p"),
        ({"guided_regex": "yes"}, "guided_regex"),
        ({"regex": "yes"}, "regex"),
        ({"ebnf": 'root ::= "yes"'}, "ebnf"),
        ({"grammar": 'root ::= "yes"'}, "grammar"),
        ({"guided_json": {"const": 1}}, "guided_json"),
        ({"json_schema": {"enum": ["a"]}}, "json_schema"),
        ({"structured_outputs": {"choice": ["a"]}}, "structured_outputs.choice"),
        ({"structured_outputs": {"json": {"const": 1}}}, "structured_outputs.json"),
        ({"structured_outputs": {"regex": "a"}}, "structured_outputs.regex"),
        ({"structured_outputs": {"grammar": 'root ::= "a"'}}, "structured_outputs.grammar"),
    ],
)
def test_a_spelling_of_little_choice_names_its_culprit(fields: dict[str, Any], culprit: str) -> None:
    assert culprits(**fields) == [culprit]


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"temperature": 0.3, "top_k": 10},
        {"temperature": 0.7, "top_p": 0.8, "top_k": 20},
        {"temperature": 1, "top_p": 0.37},
        {"temperature": 0.45, "top_k": 2},
        {"temperature": 0.8, "typical_p": 0.9, "top_p": 0.9, "top_k": 40, "min_p": 0.05},
        {"logit_bias": {"7": 10}, "temperature": 1},
        {"logit_bias": {"7": 5}, "temperature": 0.7, "top_p": 0.9},
        {"top_k": -1},
        {"top_k": 0},
        {"top_p": 1},
        {"min_p": 0.1},
        {"top_n_sigma": -1},
        {"repetition_penalty": 1.3},
        {"temperature": 1, "dynatemp_range": 0.5},
        {"mirostat": 2, "mirostat_tau": 5, "mirostat_eta": 0.1},
        {"mirostat": 0, "mirostat_tau": 0},
        {"xtc_probability": 0.5, "xtc_threshold": 0.1},
        {"samplers": ["top_k", "min_p", "temperature"]},
        {"use_beam_search": False},
        {"best_of": 2, "n": 2},
        {"logit_bias": {"7": 100, "8": 100}},
        {"guided_choice": ["yes", "no"]},
    ],
)
def test_what_stands_at_or_above_the_floors_passes(fields: dict[str, Any]) -> None:
    assert culprits(**fields) == []


@pytest.mark.parametrize("floor", [0.0, 0.05, 0.1, 0.3])
@pytest.mark.parametrize(
    "fields",
    [
        {"top_p": 0.7, "top_k": 2},
        {"top_p": 0.1, "top_k": 14},
        {"top_p": 0.74, "top_k": 2},
        {"top_p": 0.7, "typical_p": 0.7, "top_k": 3},
    ],
)
def test_one_of_even_candidates_is_no_choice_whatever_the_floor(floor: float, fields: dict[str, Any]) -> None:
    assert culprits(floors=Decoding(min_temperature=floor), temperature=1, **fields)[0] in fields


def test_a_floor_of_zero_has_no_price() -> None:
    floors = Decoding(min_temperature=0)
    assert culprits(floors=floors, temperature=0.3, top_p=0.1, top_k=15) == []
    assert culprits(floors=floors, temperature=0.3, top_p=0.75, top_k=2) == []
    assert culprits(floors=floors, temperature=0.3, typical_p=0.1, top_p=0.5, top_k=30) == []


def shape(schema: dict[str, Any]) -> dict[str, Any]:
    """A response format."""
    return {"type": "json_schema", "json_schema": {"name": "n", "schema": schema}}


def tool(name: str, schema: dict[str, Any]) -> dict[str, Any]:
    """A tool."""
    return {"type": "function", "function": {"name": name, "parameters": schema}}


CLOSED = {"type": "object", "properties": {"a": {"const": 1}}, "required": ["a"], "additionalProperties": False}
OPEN = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"], "additionalProperties": False}
NAMED = {"type": "function", "function": {"name": "f"}}


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"response_format": shape(CLOSED)}, ["response_format"]),
        ({"response_format": shape(OPEN)}, []),
        ({"response_format": {"type": "json_object"}}, []),
        ({"tools": [tool("f", CLOSED)], "tool_choice": NAMED}, ["tool_choice"]),
        ({"tools": [tool("f", CLOSED), tool("g", OPEN)], "tool_choice": NAMED}, ["tool_choice"]),
        ({"tools": [tool("f", OPEN), tool("g", CLOSED)], "tool_choice": NAMED}, []),
        ({"tools": [tool("f", CLOSED)], "tool_choice": "required"}, ["tool_choice"]),
        ({"tools": [tool("f", CLOSED), tool("g", CLOSED)], "tool_choice": "required"}, []),
        ({"tools": [tool("f", CLOSED)], "tool_choice": "auto"}, []),
        ({"functions": [{"name": "f", "parameters": CLOSED}], "function_call": {"name": "f"}}, ["function_call"]),
        ({"functions": [{"name": "f", "parameters": OPEN}], "function_call": {"name": "f"}}, []),
        ({"functions": [{"name": "f", "parameters": CLOSED}], "function_call": "auto"}, []),
    ],
)
def test_a_shape_that_one_answer_has(fields: dict[str, Any], expected: list[str]) -> None:
    assert culprits(**fields) == expected


@pytest.mark.parametrize(
    ("defaults", "fields", "culprit"),
    [
        (Defaults(temperature=0.0), {}, "temperature"),
        (Defaults(top_p=0.001), {}, "top_p"),
        (Defaults(top_k=1), {}, "top_k"),
        (Defaults(min_p=1.0), {}, "min_p"),
    ],
)
def test_defaults_count_where_the_request_says_nothing(
    defaults: Defaults, fields: dict[str, Any], culprit: str
) -> None:
    found = breaches(chat(**fields), defaults, FLOORS)
    assert {(breach.param, breach.asked) for breach in found} == {(culprit, False)}
    assert breaches(chat(temperature=1, top_p=1, top_k=40, min_p=0), defaults, FLOORS) == []


NUMBERS = st.one_of(st.just(0.0), st.floats(0, 1), st.floats(0, 2))
FIELDS = st.fixed_dictionaries(
    {},
    optional={
        "temperature": st.floats(0, 2),
        "top_p": st.floats(0, 1),
        "top_k": st.integers(-1, 50),
        "min_p": st.floats(0, 1),
        "typical_p": st.floats(0, 1),
        "top_n_sigma": st.floats(-1, 5),
        "repetition_penalty": st.floats(0, 1e9),
        "repeat_penalty": st.floats(0, 3),
        "dynatemp_range": st.floats(0, 3),
        "mirostat": st.integers(0, 2),
        "mirostat_tau": st.floats(0, 10),
        "mirostat_eta": st.floats(0, 10),
        "xtc_probability": st.floats(0, 1),
        "use_beam_search": st.booleans(),
        "samplers": st.lists(st.sampled_from(["top_k", "temperature"]), min_size=1, max_size=3),
        "logit_bias": st.dictionaries(st.integers(0, 9).map(str), st.floats(-100, 100), max_size=3),
    },
)


@given(fields=FIELDS, engine=st.sampled_from(sorted(ENGINES)))
@settings(max_examples=400, deadline=None)
def test_a_request_in_which_every_breach_is_lifted_has_none(fields: dict[str, Any], engine: str) -> None:
    request, defaults = chat(**fields), ENGINES[engine].defaults
    for breach in breaches(request, defaults, FLOORS):
        assert breach.lifted is not None
        request = replace(request, **breach.lifted)
    assert breaches(request, defaults, FLOORS) == []


@given(temperature=st.floats(0, 2), floor=st.floats(0, 2))
@settings(max_examples=200, deadline=None)
def test_the_temperature_is_held_to_the_floor_exactly(temperature: float, floor: float) -> None:
    found = culprits(floors=Decoding(min_temperature=floor), temperature=temperature)
    assert found == (["temperature"] if temperature < floor else [])
