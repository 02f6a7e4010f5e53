"""What else a key's last prompts have in common: for an operator to see, and no part of the decision."""

from collections import deque
from collections.abc import Iterator
from typing import Final

from llmguard.risk.report import Signal
from llmguard.risk.sight import Sight
from prompts.pvalues import to_e
from prompts.signals import contract, parameters, regularity

KEPT: Final = 50
FEWEST: Final = 20
"""Prompts below which there is nothing to tell."""
PROBE_P: Final = 1e-3
"""What is written for a probe: a rule of the contract, not a chance."""


class Habits:
    """The last KEPT prompts of a key by time, length, parameters and what a probe shows in."""

    __slots__ = ("_asked", "_lengths", "_parameters", "_times")

    def __init__(self) -> None:
        self._times: deque[float] = deque(maxlen=KEPT)
        self._lengths: deque[float] = deque(maxlen=KEPT)
        self._parameters: deque[int] = deque(maxlen=KEPT)
        self._asked: deque[contract.Asked] = deque(maxlen=KEPT)

    def note(self, sight: Sight) -> None:
        """Take one prompt."""
        self._times.append(sight.at)
        self._lengths.append(len(sight.ids) / 2)
        self._parameters.append(sight.parameters)
        # Which tokens are biased is the budget's to count: here one stands for all.
        biased = frozenset((0,)) if sight.biased else frozenset[int]()
        self._asked.append(contract.Asked(biased, sight.logprobs, sight.most or None))

    def signals(self) -> Iterator[tuple[str, Signal]]:
        """Each by its name."""
        if len(self._times) < FEWEST:
            return
        found = {
            "arrival_regularity": regularity.p_value(regularity.gaps(tuple(self._times))),
            "length_regularity": regularity.p_value(tuple(self._lengths)),
            "parameter_sweep": parameters.sweep(tuple(self._parameters)),
        }
        found |= {f"probe_{name}": PROBE_P for name in contract.probes(tuple(self._asked))}
        for name, p in found.items():
            yield name, Signal(p, to_e(p), len(self._times))
