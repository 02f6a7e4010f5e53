"""Evidence that a stream of prompts is automated: a test martingale that may be looked at after every prompt.

A prompt gives each of some channels one bit, a hit or none, or nothing where it is not scored.
Blocks of BLOCK scored prompts are bet on: a channel's bet multiplies its stake by the
likelihood ratio of a hit rate above what honest sessions show, for each of GAINS. A share
1/(b(b+1)) of the stakes enters at block b, so that the process restarts at every block at once
and a long honest history does not bury a later attack; a bet costs O(1) state.

    F   = Π (ρ₁/ρ₀)^hit ((1 - ρ₁)/(1 - ρ₀))^(1 - hit)      over a block, ρ₁ = ρ₀ + (1 - ρ₀)·g
    M_b = (M_{b-1} + w/(5·b(b+1)))·min(F, 9)               for each channel of weight w and each g
    E_b = ΣM_b + 1/(b + 1)

Condition: given its past and stratum, an honest principal's prompt is a hit with a probability
of at most ρ₀, in every channel. Guarantee: under it E is a supermartingale that starts at 1, so
P(E ≥ 1/alpha at any time, ever) ≤ alpha (Ville, 1939). The channels may depend on each other in any
way. The clip at 9 only lowers E: it bounds what one burst is worth.

A share of such a process's prompts can be withheld (repeats, what is not scored), as long as
what is withheld is chosen without regard to the hits of that prompt.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import log

import numpy as np
from numpy.typing import NDArray

BLOCK = 10
GAINS = (0.02, 0.06, 0.15, 0.4, 0.85)
CLIP = log(9)
"""Natural log of the most that one block may multiply a stake by."""

MOST = 1e250
"""The most that a stake or a part grows to: no number overflows."""


@dataclass(frozen=True, slots=True)
class Channel:
    """One kind of event: its share of the stakes, and the honest hit rate that is granted, by stratum.

    Raises ValueError for a rate that is not within (0, 1) or a weight that is not within (0, 1].
    """

    name: str
    weight: float
    rates: tuple[float, ...]

    def __post_init__(self) -> None:
        if not self.rates or not all(0 < rate < 1 for rate in self.rates) or not 0 < self.weight <= 1:
            raise ValueError(f"channel {self.name} needs rates within (0, 1) and a weight within (0, 1]")


class Channels:
    """An ordered set of channels whose weights sum to at most 1, with the bets made ready.

    A prompt's events are a sequence of codes, one for each channel that scores it:
    `code = place + size·hit` with place = `offsets[channel] + stratum`.
    """

    def __init__(self, channels: Sequence[Channel]) -> None:
        if sum(channel.weight for channel in channels) > 1 + 1e-9:
            raise ValueError("the channels' weights sum to more than 1")
        self.channels = tuple(channels)
        self.offsets = [0]
        for channel in channels:
            self.offsets.append(self.offsets[-1] + len(channel.rates))
        self.size = self.offsets[-1]
        rates = np.array([rate for channel in channels for rate in channel.rates])
        raised = rates[:, None] + (1 - rates[:, None]) * np.array(GAINS)
        # [miss or hit, place, gain] to the channel of each place by addition over its strata.
        bets = np.stack([np.log((1 - raised) / (1 - rates[:, None])), np.log(raised / rates[:, None])])
        self._bets: NDArray[np.float64] = bets.reshape(2 * self.size, len(GAINS))
        self._starts = np.array(self.offsets[:-1])
        # Of each code, a miss and a hit.
        self._channel_of = np.tile(np.repeat(np.arange(len(channels)), [len(one.rates) for one in channels]), 2)
        weights = np.array([channel.weight for channel in channels])
        self.stakes: NDArray[np.float64] = np.repeat(weights[:, None], len(GAINS), axis=1) / len(GAINS)
        self.unstaked = 1.0 - float(weights.sum())

    def factors(self, events: Sequence[int]) -> NDArray[np.float64]:
        """[channels, gains]: what a block with these events multiplies the stakes by, clipped."""
        counts = np.bincount(events, minlength=2 * self.size).astype(np.float64)
        weighed = counts[:, None] * self._bets
        logs = np.add.reduceat(weighed[: self.size] + weighed[self.size :], self._starts, axis=0)
        return np.exp(np.minimum(logs, CLIP))

    def told(self, events: Sequence[int]) -> NDArray[np.float64]:
        """[channels, gains]: the natural log of what one prompt's events multiply the stakes by."""
        logs = np.zeros_like(self.stakes)
        codes = np.array(events, np.intp)
        # A prompt gives a channel one event at most.
        logs[self._channel_of[codes]] = self._bets[codes]
        return logs


class Evidence:
    """The process of one principal.

    `log10` is log10 of E after the last whole block, `peak` the largest that it ever was;
    `flagged_after` is the number of prompts at which E first reached 1/alpha, or None.
    """

    __slots__ = ("_blocks", "_channels", "_events", "_mass", "_pending", "flagged_after", "log10", "peak", "scored")

    def __init__(self, channels: Channels) -> None:
        self._channels = channels
        self._mass: NDArray[np.float64] = np.zeros_like(channels.stakes)
        self._events: list[int] = []
        self._pending = self._blocks = self.scored = 0
        self.log10 = self.peak = 0.0
        self.flagged_after: int | None = None

    def update(self, events: Sequence[int], threshold: float) -> None:
        """Take one scored prompt's events; `threshold` is log10(1/alpha)."""
        self._events.extend(events)
        self.scored += 1
        self._pending += 1
        if self._pending == BLOCK:
            self._settle()
            if self.log10 >= threshold and self.flagged_after is None:
                self.flagged_after = self.scored

    def by_channel(self) -> dict[str, float]:
        """log10 of each channel's own e-value: its mass over its stakes, the part not yet staked included."""
        left = 1.0 / (self._blocks + 1)
        own = self._mass.sum(axis=1) / self._channels.stakes.sum(axis=1) + left
        return {
            channel.name: float(np.log10(max(value, 1e-300)))
            for channel, value in zip(self._channels.channels, own, strict=True)
        }

    def _settle(self) -> None:
        self._blocks += 1
        b = self._blocks
        self._mass += self._channels.stakes / (b * (b + 1))
        self._mass *= self._channels.factors(self._events)
        # What no channel was given stays in hand and is never bet: E starts at 1 whatever the weights.
        total = float(self._mass.sum()) + (1.0 - self._channels.unstaked) / (b + 1) + self._channels.unstaked
        np.minimum(self._mass, MOST, out=self._mass)
        self.log10 = log(total) / log(10)
        self.peak = max(self.peak, self.log10)
        self._events.clear()
        self._pending = 0
