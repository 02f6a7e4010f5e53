"""Levels, against the closed form of their distortion, which Max (1960) tabulates for 1 and 4 bits."""

import numpy as np
import pytest
from scipy.stats import norm

from llmguard.outputs.embeddings.quantise import STEPS, quantised

NUMBERS = np.random.default_rng(1).standard_normal(400_000).astype(np.float32)
PUBLISHED = {1: 0.3634, 4: 0.01154}


def distortion(step: float, bits: int) -> float:
    """The mean squared error of a uniform quantiser of a standard normal number."""
    levels = 2 ** (bits - 1)
    low = step * np.arange(levels)
    high = np.append(low[1:], np.inf)
    middle = low + step / 2
    chance, first = norm.cdf(high) - norm.cdf(low), norm.pdf(low) - norm.pdf(high)
    second = chance + low * norm.pdf(low) - np.append(high[:-1], 0) * norm.pdf(high)
    return float(2 * (second - 2 * middle * first + middle**2 * chance).sum())


@pytest.mark.parametrize("bits", STEPS)
def test_the_steps_are_the_best(bits: int) -> None:
    best = distortion(STEPS[bits], bits)
    assert best == pytest.approx(PUBLISHED.get(bits, best), rel=0.001)
    assert best < min(distortion(STEPS[bits] * factor, bits) for factor in (0.99, 1.01))


@pytest.mark.parametrize("bits", STEPS)
def test_numbers_lose_what_they_should(bits: int) -> None:
    told = quantised(NUMBERS[None], bits)
    assert float(((told - NUMBERS) ** 2).mean()) == pytest.approx(distortion(STEPS[bits], bits), rel=0.06)
    assert len(np.unique(quantised(np.linspace(-6, 6, 10_000)[None], bits))) == 2**bits


def test_outliers_take_the_last_level() -> None:
    low, high = quantised(np.array([[-1e30, 1e30]], np.float32), 4)[0]
    assert (low, high) == (pytest.approx(-7.5 * 0.3352), pytest.approx(7.5 * 0.3352))
