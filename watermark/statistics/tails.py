"""Exact upper tails as natural logarithms, which do not underflow where the probability does.

Where scipy's own tail is a normal number its logarithm is taken; beyond, a continued fraction
gives the logarithm itself (NIST DLMF 8.9.2 for the incomplete gamma function, 8.17.22 for the
incomplete beta function), evaluated by the modified Lentz method.
"""

from collections.abc import Iterator
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

Floats: TypeAlias = NDArray[np.float64]

SMALL = 1e-280
"""Below this a probability in double precision is about to lose digits."""
TINY = 1e-300
PRECISION = 1e-14
MOST_TERMS = 200_000
NODES = 401
"""Of the trapezoid rule, whose error falls exponentially on a smooth integrand that vanishes at both ends."""


def log_gamma_tail(counts: ArrayLike, sums: ArrayLike) -> Floats:
    """log P(S >= sum) where S ~ Gamma(count, 1): the sum of `count` standard exponentials. Shapes broadcast.

    A count of 0 proves nothing: 0.
    """
    shapes, values = np.broadcast_arrays(np.asarray(counts, np.float64), np.asarray(sums, np.float64))
    some = shapes > 0
    found = np.zeros(shapes.shape)
    with np.errstate(divide="ignore"):
        found[some] = np.log(special.gammaincc(shapes[some], values[some]))
    far = some & (found < np.log(SMALL))
    if far.any():
        a, x = shapes[far], values[far]
        found[far] = a * np.log(x) - x - special.gammaln(a) + np.log(_fraction(_gamma_terms(a, x), x + 1 - a))
    return found


def log_binomial_tail(counts: ArrayLike, hits: ArrayLike, share: float) -> Floats:
    """log P(G >= hits) where G ~ Binomial(count, share). Shapes broadcast; no hits prove nothing: 0."""
    trials, successes = np.broadcast_arrays(np.asarray(counts, np.float64), np.asarray(hits, np.float64))
    some = successes > 0
    found = np.zeros(trials.shape)
    with np.errstate(divide="ignore"):
        found[some] = np.log(special.betainc(successes[some], 1 + trials[some] - successes[some], share))
    far = some & (found < np.log(SMALL))
    if far.any():
        a, b = successes[far], 1 + trials[far] - successes[far]
        front = a * np.log(share) + b * np.log1p(-share) - np.log(a) - special.betaln(a, b)
        found[far] = front + np.log(_fraction(_beta_terms(a, b, share), np.ones_like(a)))
    return found


def log_normal_tail(scores: ArrayLike) -> Floats:
    """log P(Z >= score) where Z ~ Normal(0, 1)."""
    found: Floats = special.log_ndtr(-np.asarray(scores, np.float64))
    return found


def log_weighted_gamma_tail(counts: ArrayLike, sums: ArrayLike, weight: float) -> Floats:
    """log P(S >= sum) where S = (1 - weight) A + weight B with A, B ~ Gamma(count, 1) independent; 0 < weight < 1/2.

    P = ∫ f(b) P(A >= (sum - weight b) / (1 - weight)) db, by the trapezoid rule on log b:
    exact to 1e-5 for one token, to 1e-8 from two on. The common stand-in
    Gamma(count / θ) of the same mean and variance has too thin a tail: it promises more than there is.
    """
    shapes, values = np.broadcast_arrays(np.asarray(counts, np.float64), np.asarray(sums, np.float64))
    found = np.zeros(shapes.shape)
    some = shapes > 0
    if some.any():
        found[some] = _mixed(shapes[some], values[some], weight)
    return found


def _mixed(shapes: Floats, values: Floats, weight: float) -> Floats:
    # Where the sum is large, B given it is tilted: Gamma(count) of scale 1 / (1 - tilt·weight), its
    # mean given by the tilt that makes the sum's mean the value. Both places must be on the grid.
    excess = np.maximum(values / shapes, 1.0)
    ratio = weight / (1 - weight)
    scale = np.maximum(1.0, 1 / (1 - ratio * np.maximum(0.0, 1 - 1 / excess)))
    # log B falls below its centre like exp(count·Δ), B above it like exp(-Δ / scale): to e^-35 both ways.
    low = np.log(shapes) - 12 / np.sqrt(shapes) - 35 / shapes
    high = np.log(scale * (shapes + 12 * np.sqrt(shapes) + 35))
    grid = np.linspace(low, high, NODES)
    b = np.exp(grid)
    # The last + grid is the Jacobian of the logarithmic grid.
    density = (shapes - 1) * grid - b - special.gammaln(shapes) + grid
    rest = (values - weight * b) / (1 - weight)
    tail = np.where(rest > 0, log_gamma_tail(shapes, np.maximum(rest, TINY)), 0.0)
    step = np.log((high - low) / (NODES - 1))
    found: Floats = np.minimum(special.logsumexp(density + tail, axis=0) + step, 0.0)
    return found


def _fraction(terms: Iterator[tuple[Floats, Floats]], first: Floats) -> Floats:
    """1 / (first + a₁ / (b₁ + a₂ / (b₂ + …))), for every element, by the modified Lentz method."""
    d = 1 / np.where(np.abs(first) < TINY, TINY, first)
    c = np.full_like(first, 1 / TINY)
    h = d
    for _, (a, b) in zip(range(MOST_TERMS), terms, strict=False):
        d = a * d + b
        d = 1 / np.where(np.abs(d) < TINY, TINY, d)
        c = b + a / c
        c = np.where(np.abs(c) < TINY, TINY, c)
        change = c * d
        h = h * change
        if np.max(np.abs(change - 1)) < PRECISION:
            break
    return h


def _gamma_terms(a: Floats, x: Floats) -> Iterator[tuple[Floats, Floats]]:
    term = 1
    while True:
        yield -term * (term - a), x + 2 * term + 1 - a
        term += 1


def _beta_terms(a: Floats, b: Floats, x: float) -> Iterator[tuple[Floats, Floats]]:
    one, term = np.ones_like(a), 0
    while True:
        yield -(a + term) * (a + b + term) * x / ((a + 2 * term) * (a + 2 * term + 1)), one
        term += 1
        yield term * (b - term) * x / ((a + 2 * term - 1) * (a + 2 * term)), one
