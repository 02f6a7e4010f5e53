"""Coarse log-probabilities: their steps, their noise, and that asking again does not average it away."""

import hashlib
from math import cos, exp, log, pi, sqrt

import numpy as np
import pytest
from scipy import stats

from llmguard.decoding.coarse import EDGES, NOISE, STEPS, Prompt, coarse, prompt_of, rank

KEY = b"k" * 32
PROMPT = prompt_of('["user","hello"]')


def reference(key: bytes, prompt: Prompt, token: str) -> float:
    """The noise, made from its description."""
    total = 0.0
    for part in (prompt.exact, prompt.plain):
        message = len(part).to_bytes(2, "big") + part + token.encode()
        drawn = hashlib.blake2b(message, key=key, digest_size=16).digest()
        u, v = (int.from_bytes(half, "big") for half in (drawn[:8], drawn[8:]))
        total += sqrt(-2 * log((u + 1) / 2**64)) * cos(2 * pi * v / 2**64)
    return NOISE * total


def test_the_step_is_that_of_the_noisy_probability() -> None:
    for number in range(300):
        token, logprob = f"t{number}", -number / 40
        noisy = logprob + reference(KEY, PROMPT, token)
        step = sum(noisy > edge for edge in EDGES)
        assert coarse(logprob, KEY, PROMPT, token) == STEPS[step]


def test_the_noise_is_standard_normal_over_tokens() -> None:
    noise = [reference(KEY, PROMPT, f"t{number}") for number in range(4000)]
    # Kolmogorov and Smirnov: a sample of N(0, 1) is rejected once in a thousand keys.
    assert stats.kstest(noise, "norm").pvalue > 1e-3


@pytest.mark.parametrize("probability", [0.005, 0.05, 0.3, 0.7, 0.95])
def test_steps_fall_as_the_normal_distribution_says(probability: float) -> None:
    told = [coarse(log(probability), KEY, PROMPT, f"t{number}") for number in range(4000)]
    bounds = stats.norm.cdf([-np.inf, *(edge - log(probability) for edge in EDGES), np.inf])
    expected = np.diff(bounds) * len(told)
    seen = np.array([told.count(step) for step in STEPS])
    kept = expected > 5
    chi = (((seen - expected) ** 2 / np.maximum(expected, 1e-9))[kept]).sum()
    assert chi < stats.chi2.ppf(0.999, max(1, kept.sum() - 1))


def test_asking_again_tells_the_same_and_another_key_something_else() -> None:
    def told(key: bytes) -> list[float]:
        return [coarse(-1.0, key, PROMPT, f"t{number}") for number in range(100)]

    assert told(KEY) == told(KEY)
    assert told(KEY) != told(b"l" * 32)


def test_spaces_case_and_punctuation_keep_half_of_the_noise() -> None:
    first, second = prompt_of('["user","Hello there!"]'), prompt_of('["user","hello  there\\n"]')
    assert first.plain == second.plain != PROMPT.plain
    assert first.exact != second.exact
    pairs = np.array([[reference(KEY, prompt, f"t{n}") for prompt in (first, second)] for n in range(2000)])
    assert np.corrcoef(pairs.T)[0, 1] == pytest.approx(0.5, abs=0.06)


def test_among_one_step_tokens_stand_by_chance() -> None:
    places = [rank(KEY, PROMPT, f"t{number}") for number in range(500)]
    correlation, p = stats.spearmanr(places, range(500))
    assert p > 1e-3, correlation


def test_steps_are_inside_of_their_edges() -> None:
    for step, low, high in zip(STEPS, (-np.inf, *EDGES), (*EDGES, 0.0), strict=True):
        assert low < step < high
        assert 0 < exp(step) < 1
