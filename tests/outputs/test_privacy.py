"""Randomised response keeps its ε, and a budget holds as many answers as it should."""

from collections import Counter
from math import exp

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from llmguard.outputs.privacy import MOST, exceeding, held, randomised

CLASSES = 5


def chances(label: int, classes: int, epsilon: float) -> np.ndarray:
    """How likely each outcome is, integrated over the two draws on a grid of their jumps."""
    keep = 1.0 / (1.0 + (classes - 1) * exp(-epsilon))
    others = [randomised(label, classes, epsilon, 0.9999999, (k + 0.5) / (classes - 1)) for k in range(classes - 1)]
    found = np.zeros(classes)
    found[randomised(label, classes, epsilon, 0.0, 0.5)] += keep
    for outcome in others:
        found[outcome] += (1 - keep) / (classes - 1)
    return found


@pytest.mark.parametrize("epsilon", [0.1, 1.0, 4.0])
@pytest.mark.parametrize("classes", [2, 5, 150])
def test_no_label_makes_an_outcome_likelier_than_epsilon_allows(epsilon: float, classes: int) -> None:
    rows = np.array([chances(label, classes, epsilon) for label in range(classes)])
    assert rows.sum(axis=1) == pytest.approx(1)
    ratio = (rows.max(axis=0) / rows.min(axis=0)).max()
    assert ratio == pytest.approx(exp(epsilon))  # and no more is given away than could be: it is tight


def test_outcomes_fall_as_randomised_response_says() -> None:
    random = np.random.default_rng(1)
    draws = random.random((20_000, 2))
    seen = Counter(randomised(2, CLASSES, 1.5, float(a), float(b)) for a, b in draws)
    keep = exp(1.5) / (exp(1.5) + CLASSES - 1)
    expected = [keep if label == 2 else (1 - keep) / (CLASSES - 1) for label in range(CLASSES)]
    observed = [seen[label] for label in range(CLASSES)]
    assert stats.chisquare(observed, np.array(expected) * len(draws)).pvalue > 1e-3


@given(st.integers(2, 200), st.data(), st.floats(0.01, 50), st.floats(0, 1, exclude_max=True))
def test_the_outcome_is_a_class(classes: int, data: st.DataObject, epsilon: float, first: float) -> None:
    label = data.draw(st.integers(0, classes - 1))
    second = data.draw(st.floats(0, 1, exclude_max=True))
    assert 0 <= randomised(label, classes, epsilon, first, second) < classes


def brute(answers: int, epsilon: float, budget: float) -> float:
    """The divergence, over all 2^answers outcomes of both sides."""
    one = np.array([exp(epsilon), 1.0]) / (1 + exp(epsilon))
    left, right = np.ones(1), np.ones(1)
    for _ in range(answers):
        left, right = np.outer(left, one).ravel(), np.outer(right, one[::-1]).ravel()
    return float(np.maximum(left - exp(budget) * right, 0).sum())


@pytest.mark.parametrize("answers", [1, 2, 7, 14])
@pytest.mark.parametrize("epsilon", [0.2, 1.0, 3.0])
def test_the_composed_delta_is_that_of_the_product(answers: int, epsilon: float) -> None:
    for share in (0.0, 0.3, 0.7, 0.99, 1.0):
        budget = share * answers * epsilon
        assert exceeding(answers, epsilon, budget) == pytest.approx(brute(answers, epsilon, budget), abs=1e-12)


@pytest.mark.parametrize(
    ("epsilon", "answers", "budget", "delta"),
    [
        (1.0, 100, 60.0, 0.041392364065567525),
        (0.5, 400, 80.0, 0.000408313456371021),
        (2.0, 50, 70.0, 0.7388071088225611),
        (6.0, 10, 48.0, 0.9755410921547956),
        (0.1, 1000, 10.0, 0.0334615977861988),
    ],
)
def test_it_is_what_a_privacy_accountant_says(epsilon: float, answers: int, budget: float, delta: float) -> None:
    """The figures are dp-accounting 0.6's: the loss distribution of randomised response, composed with itself.

    It rounds losses up to a grid (1e-5), so that its figure is an upper bound.
    """
    found = exceeding(answers, epsilon, budget)
    assert delta * 0.99 < found < delta * (1 + 1e-9)


@pytest.mark.parametrize("epsilon", [0.05, 0.5, 2.0, 6.0])
def test_a_budget_holds_the_most_answers_that_stay_within_it(epsilon: float) -> None:
    for budget in (0.5, 6.0, 30.0):
        count = held(epsilon, budget, 1e-6)
        assert count >= int(budget / epsilon)  # never fewer than their plain sum
        assert count == 0 or exceeding(count, epsilon, budget) <= 1e-6
        assert exceeding(count + 1, epsilon, budget) > 1e-6


def test_many_small_ones_add_up_to_less_than_their_sum() -> None:
    assert held(0.05, 6.0, 1e-6) > 2 * 6.0 / 0.05


def test_a_budget_below_one_answer_holds_none_and_none_holds_more_than_most() -> None:
    assert held(6.0, 1.0, 1e-6) == 0
    assert held(1e-4, 100.0, 1e-6) == MOST
