"""A classifier's scores as far as a reader needs them: one shape, whatever the level and the input."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, floor, log
from typing import Final, Literal, TypeAlias

import msgspec

from llmguard.outputs.noise import Noise
from llmguard.outputs.privacy import randomised

Scores: TypeAlias = Literal["label", "bucket", "rounded", "full"]

EDGES: Final = (0.5, 0.9)
STEPS: Final = (0.35, 0.7, 0.95)
"""What is told of a class that has less than half, less than nine tenths, and more. The first is above a third, so
that the others, who share the rest, stay below it."""
TENTHS: Final = 10
DITHER: Final = 1.0
"""How many nats noise can put between two classes where only scores have any: nobody finds an edge exactly."""
SEEN: Final = 0.02
"""The share, of what the classes that can be told have together, from which on one takes part in tenths."""
LEAST: Final = 1e-9
"""Is added to a share, so that it has a logarithm."""
SLACK: Final = 1e-3
"""How far from 1 sixteen-bit arithmetic brings a probability."""


@dataclass(frozen=True, slots=True)
class Reduction:
    """How scores are told: `top_k` classes of them (None is all), labels drawn by chance up to `smoothing` nats from a
    boundary, and each of them `epsilon`-private (None is not)."""

    scores: Scores
    top_k: int | None = None
    smoothing: float = 0.0
    epsilon: float | None = None

    @property
    def chance(self) -> bool:
        """Whether a label may be told that is not the model's own."""
        return self.smoothing > 0 or self.epsilon is not None


class Told(msgspec.Struct, frozen=True):
    """What is told: the label, as an index, and as many probabilities as there are classes; they add up to 1."""

    label: int
    probs: list[float]


def probable(probs: Sequence[float]) -> bool:
    """Whether these can be the probabilities of classes: each its own, or of all together."""
    ordered = sorted(probs)  # faster than the lowest and the highest
    return bool(probs) and _probable(ordered[0], ordered[-1], len(probs))


def likeliest(probs: Sequence[float]) -> tuple[int, float]:
    """The likeliest class, and by how much it is likelier than the next; of one probability alone, yes or no."""
    if len(probs) == 1:
        return int(probs[0] >= 0.5), abs(2 * probs[0] - 1)
    first = max(probs)
    place = probs.index(first)
    return place, first - max(max(probs[:place], default=0.0), max(probs[place + 1 :], default=0.0))


def _probable(lowest: float, highest: float, classes: int) -> bool:
    return lowest >= 0 and highest <= 1 + SLACK and (highest > 0 or classes == 1)


def told(probs: Sequence[float], how: Reduction, noise: Noise) -> Told:
    """The reduced answer; raises ValueError for what are no probabilities of classes.

    The label's probability is the highest, or one of the highest. An answer whose two likeliest classes are more than
    `smoothing` nats apart keeps its label (where it is not randomised). One probability alone is that of yes, in an
    answer of yes and no, and is told alone.
    """
    order = sorted(range(len(probs)), key=probs.__getitem__, reverse=True)
    if not order or not _probable(probs[order[-1]], probs[order[0]], len(probs)):
        raise ValueError("not a list of probabilities")
    if len(probs) == 1:
        return Told(0, told((probs[0], max(0.0, 1 - probs[0])), how, noise).probs[:1])
    if how.scores == "full" and not how.smoothing:
        return Told(order[0], list(probs)) if how.top_k is None else _full(probs, order[: how.top_k])
    if how.scores == "label" and not how.smoothing:
        return _label(order[0], len(probs), how, noise)
    moved, winner = _moved(probs, order[0], order[1], how.smoothing, noise)
    if how.scores == "label":
        return _label(winner, len(probs), how, noise)
    if how.scores == "bucket":
        return _bucket(winner, moved[winner] / sum(moved), len(probs))
    if how.scores == "rounded":
        return _rounded(moved, _leading(moved, order, winner, min(how.top_k or TENTHS, TENTHS)))
    return _full(moved, _leading(moved, order, winner, how.top_k or len(probs)))


def _moved(probs: Sequence[float], first: int, second: int, smoothing: float, noise: Noise) -> tuple[list[float], int]:
    """Shares with noise between the two likeliest classes, and the class that leads then.

    Without smoothing that is the model's own: the noise is for the scores alone.
    """
    moved, best, next_best = list(probs), probs[first], probs[second]
    pair, sign = (b"%d,%d" % (first, second), 1) if first < second else (b"%d,%d" % (second, first), -1)
    apart = floor(sign * log((best + LEAST) / (next_best + LEAST)))
    # What the likelier gains on the other.
    shift = sign * (smoothing or DITHER) * noise.layered(pair, b"%b,%d" % (pair, apart))
    gain = exp(shift / 2)
    ours, theirs = best * gain, next_best / gain
    # No third class overtakes the second, which only gains where the first loses.
    if shift >= 0 or theirs < ours or (theirs == ours and first < second):
        winner = first
    elif smoothing:
        winner = second
    else:
        winner, ours, theirs = first, theirs, ours
    moved[first], moved[second] = ours, theirs
    return moved, winner


def _label(winner: int, classes: int, how: Reduction, noise: Noise) -> Told:
    """One-hot: who looks for the highest finds the label, and nothing else."""
    if how.epsilon is not None:
        winner = randomised(winner, classes, how.epsilon, noise.unit(b"keep"), noise.unit(b"other"))
    probs = [0.0] * classes
    probs[winner] = 1.0
    return Told(winner, probs)


def _bucket(winner: int, share: float, classes: int) -> Told:
    step = STEPS[(share >= EDGES[0]) + (share >= EDGES[1])]
    if classes == 2:
        step = max(step, STEPS[1])  # one of two has no less than half
    probs = [(1.0 - step) / (classes - 1)] * classes
    probs[winner] = step
    return Told(winner, probs)


def _leading(moved: Sequence[float], order: Sequence[int], winner: int, count: int) -> list[int]:
    """The winner and then the likeliest, `count` in all, when of those in `order` the first two have moved."""
    leading = sorted(order[: count + 2], key=moved.__getitem__, reverse=True)
    if leading[0] != winner:  # of equals
        leading.remove(winner)
        leading.insert(0, winner)
    del leading[count:]
    return leading


def _rounded(probs: Sequence[float], leading: Sequence[int]) -> Told:
    """Tenths, ten of them: each class its whole ones, those that are left to the largest remainders (Hamilton)."""
    seen = SEEN * sum([probs[index] for index in leading])
    kept = [index for index in leading if probs[index] >= seen]
    each, missing = TENTHS / sum([probs[index] for index in kept]), TENTHS
    found = [0.0] * len(probs)
    lacking: list[tuple[float, int, int]] = []
    for place, index in enumerate(kept):
        tenths = probs[index] * each
        whole = int(tenths)
        missing -= whole
        found[index] = whole / TENTHS
        lacking.append((whole - tenths, place, whole))
    if missing:
        lacking.sort()
        for _, place, whole in lacking[:missing]:
            found[kept[place]] = (whole + 1) / TENTHS
    return Told(leading[0], found)


def _full(probs: Sequence[float], kept: Sequence[int]) -> Told:
    total = sum([probs[index] for index in kept])
    found = [0.0] * len(probs)
    for index in kept:
        found[index] = probs[index] / total
    return Told(kept[0], found)
