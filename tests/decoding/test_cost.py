"""A judgement is cheap, and no pattern, grammar or schema can make it dear."""

import time
from collections.abc import Callable

import pytest

from llmguard.decoding.constraints import one_expansion, one_match, one_value
from tests.benchmarks.decoding import MOST_US, run

SLOW_MACHINE = 8


def test_validation_and_judgement_stay_within_their_budget() -> None:
    for row in run().rows:
        assert float(str(row["together_us"])) < SLOW_MACHINE * MOST_US, row


def nested(depth: int) -> object:
    schema: object = {"const": 1}
    for _ in range(depth):
        schema = {"anyOf": [schema, schema]} if depth < 12 else {"anyOf": [schema]}
    return schema


@pytest.mark.parametrize(
    ("judge", "given"),
    [
        (one_match, "{" * 16_000),
        (one_match, "[" * 16_000),
        (one_match, "(a" * 5_000 + ")" * 5_000),
        (one_match, "(" * 16_000),
        (one_match, "a|" * 8_000),
        (one_match, "\\\\" * 8_000),
        (one_expansion, "'" * 16_000),
        (one_expansion, '"\\' * 8_000),
        (one_expansion, "#\n" * 8_000),
        (one_value, nested(190)),
        (one_value, nested(11)),
        (one_value, {"enum": ["x"] * 60_000}),
    ],
)
def test_nothing_that_a_body_can_hold_takes_long(judge: Callable[[object], bool], given: object) -> None:
    start = time.process_time()
    judge(given)
    assert time.process_time() - start < 2.0  # a hundredth of this is usual; what is quadratic takes minutes
