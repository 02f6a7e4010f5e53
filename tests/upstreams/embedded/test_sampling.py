from collections import Counter

import numpy as np
import pytest

from llmguard.upstreams.embedded.order import Sampling
from llmguard.upstreams.embedded.sampling import Sampler, adjusted, generator_of, inverse_draw, probabilities

LOGITS = np.log(np.array([0.5, 0.25, 0.15, 0.1]))


def test_probabilities_are_the_softmax_at_the_temperature():
    assert probabilities(LOGITS, Sampling()) == pytest.approx([0.5, 0.25, 0.15, 0.1])
    squared = np.array([0.5, 0.25, 0.15, 0.1]) ** 2
    assert probabilities(LOGITS, Sampling(temperature=0.5)) == pytest.approx(squared / squared.sum())


def test_temperature_zero_is_the_limit_of_small_temperatures():
    assert probabilities(LOGITS, Sampling(temperature=0)).tolist() == [1, 0, 0, 0]
    assert probabilities(LOGITS, Sampling(temperature=1e-300)).tolist() == [1, 0, 0, 0]


@pytest.mark.parametrize(("top_k", "kept"), [(-1, 4), (0, 4), (1, 1), (2, 2), (9, 4)])
def test_top_k_keeps_the_likeliest(top_k: int, kept: int):
    found = probabilities(LOGITS, Sampling(top_k=top_k))
    assert np.count_nonzero(found) == kept
    assert found.sum() == pytest.approx(1)


@pytest.mark.parametrize(("top_p", "kept"), [(0.0, 1), (0.49, 1), (0.51, 2), (0.76, 3), (0.95, 4), (1.0, 4)])
def test_top_p_keeps_the_smallest_set_that_reaches_it(top_p: float, kept: int):
    assert np.count_nonzero(probabilities(LOGITS, Sampling(top_p=top_p))) == kept


def test_top_p_applies_to_what_top_k_left():
    assert np.count_nonzero(probabilities(LOGITS, Sampling(top_k=2, top_p=0.6))) == 1


def test_penalties_and_bias_follow_openais_formula():
    sampling = Sampling(presence_penalty=0.5, frequency_penalty=0.25, logit_bias={3: 7.0})
    found = adjusted(np.zeros(4, np.float32), Counter({1: 1, 2: 3}), sampling)
    assert found.tolist() == [0, -0.75, -1.25, 7.0]


def test_draws_follow_the_distribution():
    draw, weights = inverse_draw(generator_of(7, 0)), probabilities(LOGITS, Sampling())
    counts = np.bincount([draw(weights, ()) for _ in range(20_000)], minlength=4)
    expected = weights * 20_000
    # Chi-squared with three degrees of freedom: 16.3 is exceeded once in a thousand seeds.
    assert ((counts - expected) ** 2 / expected).sum() < 16.3


def test_a_token_without_probability_is_never_drawn():
    draw = inverse_draw(generator_of(1, 0))
    assert {draw(np.array([0.0, 1.0, 0.0]), ()) for _ in range(200)} == {1}


def test_the_draw_sees_the_context_and_can_be_replaced():
    seen: list[tuple[int, ...]] = []

    def draw(weights: np.ndarray, context: object) -> int:
        seen.append(tuple(context))  # type: ignore[call-overload]
        return 2

    sampler = Sampler(Sampling(), draw)
    assert sampler.next(LOGITS.astype(np.float32), [5, 6]) == 2
    assert seen == [(5, 6)]


def test_seeds_reproduce_and_choices_differ():
    def first(seed: int | None, choice: int) -> float:
        return generator_of(seed, choice).random()

    assert first(-5, 0) == first(-5, 0)
    assert len({first(5, 0), first(5, 1), first(6, 0), first(None, 0), first(None, 0)}) == 5


@pytest.mark.parametrize("top_p", [0.0, 0.05, 0.5, 0.95, 0.9999999, 1.0])
@pytest.mark.parametrize("spread", [0.0, 0.5, 4.0])
def test_the_nucleus_is_that_of_sorting_everything(top_p: float, spread: float):
    logits = np.random.default_rng(3).normal(0, spread, 5000)
    plain = probabilities(logits, Sampling())
    order = np.argsort(-plain, kind="stable")
    kept = order[: max(1, int(np.searchsorted(np.cumsum(plain[order]) - plain[order], top_p, side="left")))]
    expected = np.zeros_like(plain)
    expected[kept] = plain[kept] / plain[kept].sum()
    np.testing.assert_allclose(probabilities(logits, Sampling(top_p=top_p)), expected, rtol=1e-12)
