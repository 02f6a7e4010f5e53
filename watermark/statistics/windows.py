"""Marked spans inside unmarked text: dyadic windows over the scored tokens, with a p-value that pays for the search."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln

Floats: TypeAlias = NDArray[np.float64]
Tail: TypeAlias = Callable[[Floats, Floats], Floats]
"""(counts, scores) -> log p, as a scheme's `log_tail`."""

SHORTEST = 50
MOST_SPANS = 5
WHOLE, BEST, SEVERAL = 0.9, 0.05, 0.05
"""The shares of the error that the three looks may spend. Most texts are marked throughout or not at all, and a
window that holds a mark has evidence to spare: the whole pays a tenth, each other look a factor of twenty."""


@dataclass(frozen=True, slots=True)
class Window:
    """Scored tokens [start, end) and the logarithm of their own, uncorrected p-value."""

    start: int
    end: int
    log_p: float


@dataclass(frozen=True, slots=True)
class Search:
    """What all windows say: a corrected log p, and up to five disjoint windows, each significant after correction."""

    log_p: float
    windows: tuple[Window, ...]


def search(terms: Floats, tail: Tail, log_alpha: float) -> Search:
    """The best of three looks at a text's terms [n]: as a whole, in its best window, in its best few windows.

    Windows have lengths 50, 100, 200 … and stride half their length; with M of them,
    p = min(p_whole / 0.9, M p_best / 0.05, 5 min_y C(M, y) p_y / 0.05), where p_y is the tail of y
    disjoint windows together. Each factor is a union bound, so p is valid whatever was chosen: the
    shares are fixed and sum to 1. A text of at most two shortest windows is looked at once, as a
    whole, and pays nothing. `windows` are those with M p <= alpha.
    """
    sums = np.concatenate([[0.0], np.cumsum(terms)])
    whole = float(tail(np.array([float(terms.size)]), sums[-1:])[0])
    starts, ends = _windows(terms.size)
    if not starts.size:
        return Search(whole, ())
    scores = sums[ends] - sums[starts]
    tails = tail((ends - starts).astype(np.float64), scores)
    many = float(np.log(starts.size))
    chosen = list(_disjoint(starts, ends, tails))
    looks = [
        whole - np.log(WHOLE),
        float(tails.min()) + many - np.log(BEST),
        *(together - np.log(SEVERAL) for together in _several(starts, ends, scores, chosen, tail)),
    ]
    found = [Window(int(starts[at]), int(ends[at]), float(tails[at])) for at in chosen if tails[at] + many <= log_alpha]
    return Search(min(0.0, float(min(looks))), tuple(sorted(found, key=lambda window: window.start)))


def _windows(size: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """The starts and ends of every window that fits and is not the whole; none in a short text."""
    starts, lengths, length = [], [], SHORTEST
    if size <= 2 * SHORTEST:
        return np.empty(0, np.intp), np.empty(0, np.intp)
    while length < size:
        at = np.arange(0, size - length + 1, length // 2)
        starts.append(at)
        lengths.append(np.full(at.size, length))
        length *= 2
    found = np.concatenate(starts)
    return found, found + np.concatenate(lengths)


def _disjoint(starts: NDArray[np.intp], ends: NDArray[np.intp], tails: Floats) -> Iterator[int]:
    """The best window, then the best that it leaves, and so on."""
    left = np.ones(starts.size, np.bool_)
    for _ in range(MOST_SPANS):
        if not left.any():
            return
        best = int(np.argmin(np.where(left, tails, np.inf)))
        yield best
        left &= (ends <= starts[best]) | (starts >= ends[best])


def _several(
    starts: NDArray[np.intp], ends: NDArray[np.intp], scores: Floats, chosen: list[int], tail: Tail
) -> Iterator[float]:
    """The corrected log p of the best y windows together, for each y from 2."""
    for count in range(2, len(chosen) + 1):
        some = chosen[:count]
        together = tail(np.array([float((ends[some] - starts[some]).sum())]), np.array([scores[some].sum()]))
        ways = gammaln(starts.size + 1) - gammaln(count + 1) - gammaln(starts.size - count + 1)
        yield float(together[0] + ways + np.log(MOST_SPANS))
