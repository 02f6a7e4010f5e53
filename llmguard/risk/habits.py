"""What else a key's last prompts have in common: for an operator to see, and no part of the decision."""

from collections import Counter, deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from math import sqrt
from typing import Final

from llmguard.risk.meanwhile import Answer, Wait
from llmguard.risk.report import Signal
from llmguard.risk.sight import Sight
from prompts.pvalues import to_e
from prompts.signals import classes, contract, parameters, regularity, retries, velocity

KEPT: Final = 50
FEWEST: Final = 20
"""Prompts, or answers of a classifier, below which there is nothing to tell."""
FEWEST_WAITS: Final = 5
PROBE_P: Final = 1e-3
"""What is written for a probe: a rule of the contract, not a chance."""
OTHERS: Final = 10
"""Answers to others for each of a key's own, from which on they say what is usual."""
DAY_S: Final = 86_400.0
GRANTED: Final = 200_000.0
"""Tokens asked for in a key's first day that count as normal: 400 answers of 500."""


@dataclass(slots=True)
class Usual:
    """How often each class was a model's answer, and how often an input lay at a boundary, whoever asked."""

    labels: Counter[int] = field(default_factory=Counter)
    boundary: int = 0

    def note(self, label: int, margin: float) -> None:
        """Take one answer."""
        self.labels[label] += 1
        self.boundary += margin < classes.MARGIN


class Habits:
    """The last KEPT prompts of a key by time, length, parameters and what a probe shows in, and what was between."""

    __slots__ = ("_answers", "_asked", "_day", "_lengths", "_normal", "_parameters", "_spent", "_times", "_waits")

    def __init__(self) -> None:
        self._times: deque[float] = deque(maxlen=KEPT)
        self._lengths: deque[float] = deque(maxlen=KEPT)
        self._parameters: deque[int] = deque(maxlen=KEPT)
        self._asked: deque[contract.Asked] = deque(maxlen=KEPT)
        self._waits: deque[Wait] = deque(maxlen=KEPT)
        self._answers: deque[Answer] = deque(maxlen=4 * KEPT)
        self._day = 0
        self._spent = 0.0
        self._normal = velocity.Normal(GRANTED, GRANTED)

    def note(self, sight: Sight) -> None:
        """Take one prompt."""
        self._times.append(sight.at)
        length = len(sight.ids) / 2
        self._lengths.append(length)
        self._parameters.append(sight.parameters)
        # Which tokens are biased is the budget's to count: here one stands for all.
        biased = frozenset((0,)) if sight.biased else frozenset[int]()
        self._asked.append(contract.Asked(biased, sight.logprobs, sight.most or None))
        if sight.waits:
            self._waits.extend(sight.waits)
        if sight.answers:
            self._answers.extend(sight.answers)
        day = int(sight.at // DAY_S)
        if day != self._day:
            self._normal = velocity.after(self._normal, self._spent)
            self._day, self._spent = day, 0.0
        self._spent += length + sight.most

    def signals(self, usual: Mapping[str, Usual]) -> Iterator[tuple[str, Signal]]:
        """Each by its name."""
        for name, p, window in (*self._of_prompts(), *self._of_answers(usual), *self._of_spending()):
            yield name, Signal(p, to_e(p), window)

    def _of_prompts(self) -> Iterator[tuple[str, float, int]]:
        count = len(self._times)
        if count < FEWEST:
            return
        yield "arrival_regularity", regularity.p_value(regularity.gaps(tuple(self._times))), count
        yield "length_regularity", regularity.p_value(tuple(self._lengths)), count
        yield "parameter_sweep", parameters.sweep(tuple(self._parameters)), count
        for name in contract.probes(tuple(self._asked)):
            yield f"probe_{name}", PROBE_P, count

    def _of_answers(self, usual: Mapping[str, Usual]) -> Iterator[tuple[str, float, int]]:
        """Of the model that was asked last, beside others' answers: who asks the most is no measure of itself."""
        model = self._answers[-1][0] if self._answers else ""
        mine, everyone, margins = Usual(), usual.get(model, Usual()), list[float]()
        for asked, label, margin in self._answers:
            if asked == model:
                mine.note(label, margin)
                margins.append(margin)
        count, others = mine.labels.total(), everyone.labels - mine.labels
        if count < FEWEST or others.total() < OTHERS * count:
            return
        share = max(0, everyone.boundary - mine.boundary) / others.total()
        granted = share + 3 * sqrt(max(share, 1 / others.total()) / others.total())
        yield "class_boundary", classes.boundary(margins, min(1.0, granted)), count
        shares = {str(label): float(times) for label, times in others.items()}
        yield "class_balance", classes.balance([str(label) for label in mine.labels.elements()], shares), count

    def _of_spending(self) -> Iterator[tuple[str, float, int]]:
        if len(self._waits) >= FEWEST_WAITS:
            yield "retries", retries.p_value(tuple(self._waits)), len(self._waits)
        if len(self._times) >= FEWEST:
            yield "spend_velocity", velocity.p_value(self._normal, self._spent), len(self._times)
