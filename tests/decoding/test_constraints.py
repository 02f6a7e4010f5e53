"""A constraint that spells an answer out is told from one that leaves a choice."""

import re
import string
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmguard.decoding.constraints import one_choice, one_expansion, one_match, one_value

NAME = {"type": "string"}


@pytest.mark.parametrize(
    "schema",
    [
        {"const": "yes"},
        {"enum": ["yes"]},
        {"enum": ["yes", "yes"]},
        {"type": "null"},
        {"type": "string", "maxLength": 0},
        {"type": "string", "pattern": "^yes$"},
        {"type": "integer", "minimum": 3, "maximum": 3},
        {"type": "object", "properties": {"a": {"const": 1}}, "required": ["a"], "additionalProperties": False},
        {"properties": {"a": {"enum": ["x"]}, "b": {"type": "null"}}, "required": ["a", "b"]},
        {"type": "object", "properties": {}, "additionalProperties": False},
        {"type": "array", "minItems": 2, "maxItems": 2, "items": {"const": 0}},
        {"type": "array", "maxItems": 0},
        {"anyOf": [{"const": 1}]},
        {"oneOf": [{"const": 1}, {"const": 1}]},
        {"allOf": [{"type": "string"}, {"const": "x"}]},
        False,
    ],
)
def test_a_schema_of_one_value(schema: Any) -> None:
    assert one_value(schema)


@pytest.mark.parametrize(
    "schema",
    [
        {},
        True,
        None,
        {"type": "object"},
        {"type": "object", "properties": {"name": NAME}, "required": ["name"], "additionalProperties": False},
        {"type": "object", "properties": {"kind": {"const": "person"}, "name": NAME}},
        {"type": "object", "properties": {"a": {"const": 1}}, "additionalProperties": True},
        {"enum": ["yes", "no"]},
        {"enum": [0, False]},
        {"type": "boolean"},
        {"type": "array", "items": NAME},
        {"type": "array", "minItems": 1, "maxItems": 2, "items": {"const": 0}},
        {"type": "string", "pattern": "^[a-z]+$"},
        {"type": "integer", "minimum": 1, "maximum": 5},
        {"anyOf": [{"type": "string"}, {"type": "null"}]},
        {"$ref": "#/$defs/Person", "$defs": {"Person": {"type": "object"}}},
    ],
)
def test_a_schema_that_leaves_a_choice(schema: Any) -> None:
    assert not one_value(schema)


def test_a_schema_nested_without_end_is_read_to_an_end() -> None:
    schema: dict[str, Any] = {"const": 1}
    for _ in range(100):
        schema = {"type": "object", "properties": {"a": schema}, "required": ["a"]}
    assert not one_value(schema)


@pytest.mark.parametrize(
    "pattern",
    ["", "yes", "^yes$", "(yes)", "(?:yes)", "(yes|yes)", "yes|yes", "a{3}", "a{3,3}", "[a]", r"a\.b", r"\\d", "(("],
)
def test_a_pattern_of_one_text(pattern: str) -> None:
    assert one_match(pattern)


@pytest.mark.parametrize(
    "pattern",
    [
        "yes|no",
        "(yes|no)",
        "a?",
        "a*",
        ".",
        "[ab]",
        "[a-z]",
        "[^a]",
        r"\d{4}-\d{2}",
        "a{1,3}",
        "a{2,}",
        r"[\]]b",
    ],
)
def test_a_pattern_that_leaves_a_choice(pattern: str) -> None:
    assert not one_match(pattern)


@given(text=st.text(string.printable, max_size=40))
@settings(max_examples=200, deadline=None)
def test_a_text_spelt_out_is_one_match(text: str) -> None:
    assert one_match(re.escape(text))


@given(first=st.text(string.ascii_letters, max_size=8), second=st.text(string.ascii_letters, max_size=8))
@settings(max_examples=200, deadline=None)
def test_alternatives_are_a_choice_just_where_they_differ(first: str, second: str) -> None:
    assert one_match(f"{first}|{second}") == (first == second)
    assert one_match(f"x({first}|{second})y") == (first == second)


@given(st.text(max_size=60))
@settings(max_examples=300, deadline=None)
def test_anything_can_be_read(text: str) -> None:
    one_match(text)
    one_expansion(text)


@pytest.mark.parametrize(
    "grammar",
    ['root ::= "yes"', 'root ::= "y" | "y"', 'start: "a" b\nb: "c"', '# x | y\nroot ::= "a|b*"', "root ::= 'yes'"],
)
def test_a_grammar_of_one_text(grammar: str) -> None:
    assert one_expansion(grammar)


@pytest.mark.parametrize(
    "grammar",
    ['root ::= "yes" | "no"', "root ::= [a-z]", 'root ::= "a"+', "start: /[a-z]+/", 'root ::= "a" b*\nb ::= "c"'],
)
def test_a_grammar_that_leaves_a_choice(grammar: str) -> None:
    assert not one_expansion(grammar)


def test_a_choice_of_one() -> None:
    assert one_choice(["a"])
    assert one_choice(["a", "a"])
    assert not one_choice(["a", "b"])
