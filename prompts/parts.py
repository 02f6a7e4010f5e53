"""A member's part in its cluster's evidence: what its own prompts are worth, bet on as the cluster's past says.

A member says few of a cluster's prompts: too few to tell by themselves on which of the channels
there is something to win. The cluster's prompts before this one, whoever said them, lay the
stakes: on the channels that they hit, at the rates at which they hit them, the last ones most.

    W_n ∝ w/5·Π F_k^(FADE^(n - 1 - k))          over the cluster's prompts k < n, for each channel of weight w and gain
    f_n = ΣW_n·F_n                              with ΣW_n = 1, and F as in `evidence`, of one prompt and not clipped
    E   = Σ_m 1/(m(m + 1))·Π_{k ≥ m} f_k + 1/(n + 1)          over a member's own prompts, n by now

Condition: that of `evidence`, held by the member; of the others none. Guarantee: the stakes are
of the past, so a prompt of such a member multiplies by no more than 1 in the mean, E is a
supermartingale that starts at 1, and P(E ≥ 1/alpha at any time, ever) ≤ alpha (Ville, 1939). Who is
in a cluster by chance is not convicted by what the others do. As it restarts at every prompt, a
long honest history does not bury a later attack.
"""

from collections import deque
from collections.abc import Sequence
from math import log10

import numpy as np
from numpy.typing import NDArray

from prompts.evidence import MOST, Channels
from prompts.prompt import by_length
from prompts.scorer import SHARED, Taken
from prompts.signals.shared import of_many
from prompts.window import LOOK_BACK, Chain

FADE = 0.98
"""What is left of a prompt's say in the stakes after one more: some fifty prompts lay them."""


class Part:
    """What a member's prompts are worth in its cluster, and its last chains as they are there."""

    __slots__ = ("_chains", "_mass", "_prompts")

    def __init__(self) -> None:
        self._mass, self._prompts = 0.0, 0
        self._chains: deque[tuple[Chain, Chain, int]] = deque(maxlen=LOOK_BACK)

    @property
    def log10(self) -> float:
        """log10 of E after the member's last prompt."""
        return log10(self._mass + 1 / (self._prompts + 1))

    def chain(self, own: Taken) -> tuple[Chain | None, int]:
        """The cluster's chain of a prompt that goes on one of the member's own, and how many of it are the member's.

        None where it is not known.
        """
        known = reversed(self._chains)
        return next(((chain, count) for mine, chain, count in known if mine is own.joined.chain), (None, 0))

    def take(self, own: Taken, pooled: Taken, factor: float) -> None:
        """Take a prompt, by what its own window and the cluster's said of it, and what the stakes multiply by."""
        self._prompts += 1
        self._mass = min(MOST, (self._mass + 1 / (self._prompts * (self._prompts + 1))) * factor)
        chain, count = self.chain(own)
        here = pooled.joined.chain
        self._chains.append((own.joined.chain, here, 1 + count * (chain is here)))

    def leave(self) -> None:
        """Forget the chains: one of the windows is empty."""
        self._chains.clear()


class Parts:
    """The parts of a cluster's members, by name, and the stakes as its last prompts lay them."""

    __slots__ = ("_channels", "_first", "_last", "_told", "of")

    def __init__(self, channels: Channels) -> None:
        self.of: dict[str, Part] = {}
        self._channels = channels
        self._first: NDArray[np.float64] = np.log(channels.stakes)
        self._told: NDArray[np.float64] = np.zeros_like(channels.stakes)
        self._last: deque[tuple[Chain, Part]] = deque(maxlen=LOOK_BACK)

    def take(self, part: Part, own: Taken, pooled: Taken, length: int) -> Taken:
        """Take a member's prompt of so many tokens, by what its own window and the cluster's said of it.

        Return the latter with whether the text is one that other members go on with.
        """
        chain = pooled.joined.chain
        hit = of_many(chain, part, self._last)
        code = self._channels.offsets[SHARED] + by_length(length) + self._channels.size * hit
        self._last.append((chain, part))
        told = Taken([*pooled.events, code], pooled.joined)
        part.take(own, told, self.bet(told.events))
        return told

    def bet(self, events: Sequence[int]) -> float:
        """What a prompt of these events multiplies by; from then on it is of the past."""
        laid = self._first + self._told
        stakes = np.exp(laid - laid.max())
        told = self._channels.told(events)
        self._told *= FADE
        self._told += told
        return float((stakes * np.exp(told)).sum() / stakes.sum())

    def leave(self) -> None:
        """Forget all chains: the cluster's window is empty."""
        self._last.clear()
        for part in self.of.values():
            part.leave()
