"""Substitutes trained on a classifier's answers: agreement with it against questions, and what labels cost.

Handwritten digits, and intents of real questions (CLINC150, banking77) where the development data is there, over
MiniLM vectors that the attacker has, too. Everything is asked through the application over vLLM's wire, full scores of
the upstream itself.
"""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from math import exp, log
from typing import Any

import numpy as np
from sklearn.linear_model import LogisticRegression

from llmguard.outputs.scores import Reduction
from tests.attacks.classifying import BATCH, PAUSE_S, bare, guarded, serving
from tests.attacks.surrogate import ATTACKERS, Ask, Floats, Texts, Victim, agreement, digits, interval
from tests.benchmarks.report import Report, Row
from tests.benchmarks.texts import Absent, Labelled, Model, banking, clinc

PRIVATE = "label, private"
LEVELS: Mapping[str, tuple[Reduction, dict[str, Any] | None]] = {
    "full": (Reduction("full"), None),
    "rounded": (Reduction("rounded"), {"scores": "rounded"}),
    "bucket": (Reduction("bucket"), {"scores": "bucket"}),
    "label": (Reduction("label"), {}),
    "label, smoothed": (Reduction("label", smoothing=2.0), {"smoothing": 2.0}),
    PRIVATE: (
        Reduction("label", epsilon=4.0),
        {"privacy": {"epsilon": 4.0, "budget": 4.0 * BATCH, "delta": 0.0, "every": PAUSE_S / 2}},
    ),
}
"""How answers are told, and the policy that says so; None is without the guard. The private budget is back with every
request: questions are counted in any case."""
LEAST_RATIO = 3.0
MOST_CLUSTERED = 2000


@dataclass(frozen=True, slots=True)
class Task:
    """A victim, how many questions attackers have, and where equal agreement is looked for.

    The plain attacker has all of them, the one that clusters up to `clustered`, those who undo what a policy does up to
    `clever`. With full scores, which leave nothing to undo, `fewer` are enough, too.

    Labels are held to LEAST_RATIO from the agreement `held_from` on, private ones everywhere. Below it they are
    measured and do not reach it: a label for each cluster of the attacker's own inputs goes far where classes are few.
    """

    name: str
    victim: Victim
    fewer: Sequence[int]
    budgets: Sequence[int]
    clustered: int
    clever: int
    attacks: int
    goals: Sequence[float]
    held_from: float = 0.0

    def most(self, attacker: str, *, reduced: bool) -> int:
        """The most questions that an attacker is run with."""
        if attacker == "plain":
            return max(self.budgets)
        if attacker == "clustering":
            return self.clustered
        return self.clever if reduced else 0

    def held(self, level: str, agreement: float) -> bool:
        """Whether equal agreement has to cost LEAST_RATIO times the questions of full scores."""
        return level == PRIVATE or (level.startswith("label") and agreement >= self.held_from)


def run(_: int) -> list[Report]:
    """The benchmark."""
    reports = list[Report]()
    for name, make in {"digits": handwritten, "clinc150": assistant, "banking77": bank}.items():
        try:
            task = make()
        except Absent as absent:
            reports.append(Report(f"surrogate: {name}", missing={name: str(absent)}))
            continue
        reports += asyncio.run(attacked(task))
    return reports


async def attacked(task: Task) -> list[Report]:
    """Agreement of every attacker by level and budget; and what equal agreement costs, in questions of full scores."""
    curves: dict[str, dict[int, dict[str, Floats]]] = {}
    async with AsyncExitStack() as stack:
        fake = await stack.enter_async_context(serving(task.victim))
        for name, (how, outputs) in LEVELS.items():
            way = bare(fake) if outputs is None else guarded(fake, {"outputs": outputs})
            ask = await stack.enter_async_context(way)
            curves[name] = {
                budget: {
                    attacker: await repeated(task, ask, attacker, budget, how)
                    for attacker in ATTACKERS
                    if budget <= task.most(attacker, reduced=outputs is not None)
                }
                for budget in sorted({*task.budgets, *(task.fewer if outputs is None else ())})
            }
    rows = [row(name, budget, found) for name, curve in curves.items() for budget, found in curve.items()]
    costs = [cost(name, goal, curves) for name in curves if name != "full" for goal in task.goals]
    cheap = [
        f"{one['target']} at {one['agreement']}: {one['times_at_least']} times"
        for one in costs
        if task.held(str(one["target"]), float(str(one["agreement"])))
        and float(str(one["times_at_least"])) < LEAST_RATIO
    ]
    return [
        Report(f"surrogate: {task.name}, agreement with the victim (95 % interval)", rows),
        Report(f"surrogate: {task.name}, questions as a multiple of those with full scores", costs, failures=cheap),
    ]


async def repeated(task: Task, ask: Ask, attacker: str, budget: int, how: Reduction) -> Floats:
    """Agreement [attacks, held]."""
    randoms = [np.random.default_rng(seed) for seed in range(task.attacks)]
    return np.array(
        [await agreement(task.victim, ask, attacker, budget, how, random) for random in randoms], np.float64
    )


def row(name: str, budget: int, found: Mapping[str, Floats]) -> Row:
    """The plain attacker with its interval, and the others."""
    low, high = interval(found["plain"], np.random.default_rng(1))
    means: dict[str, object] = {attacker: None for attacker in ATTACKERS}
    means |= {attacker: float(agreed.mean()) for attacker, agreed in found.items()}
    return {"target": name, "questions": budget, "low": low, "high": high, **means}


def cost(name: str, goal: float, curves: Mapping[str, Mapping[int, Mapping[str, Floats]]]) -> Row:
    """How many times the questions the best attacker needs for this agreement, with its interval over resamples.

    No figure where the largest budget does not reach it.
    """
    random = np.random.default_rng(2)
    most = max(curves[name])
    attacks, held = curves[name][most]["plain"].shape

    def needed(curve: Mapping[int, Mapping[str, Floats]], rows: Floats, columns: Floats) -> float:
        # The best attacker at each budget; agreement never falls with more questions.
        best = [max(one[np.ix_(rows, columns)].mean() for one in found.values()) for found in curve.values()]
        return questions(goal, [*curve], np.maximum.accumulate(best).tolist())

    times = []
    for _ in range(400):
        chosen = (random.integers(attacks, size=attacks), random.integers(held, size=held))
        asked, full = needed(curves[name], *chosen), needed(curves["full"], *chosen)
        # Where the goal is never reached, all that is known is that the largest budget is too small.
        times.append((min(asked, most) / full, asked / full))
    low = np.quantile([least for least, _ in times], 0.025)
    middle, high = np.quantile([reached for _, reached in times], (0.5, 0.975), method="higher")
    return {
        "target": name,
        "agreement": goal,
        "times": float(middle) if np.isfinite(middle) else None,
        "times_at_least": float(low),
        "times_at_most": float(high) if np.isfinite(high) else None,
    }


def questions(goal: float, budgets: Sequence[int], agreed: Sequence[float]) -> float:
    """Where the curve reaches the goal, on a logarithmic scale of budgets; infinite where it does not."""
    if agreed[0] >= goal:
        return float(budgets[0])
    for place in range(1, len(budgets)):
        if agreed[place] >= goal:
            share = (goal - agreed[place - 1]) / (agreed[place] - agreed[place - 1])
            return exp(log(budgets[place - 1]) + share * log(budgets[place] / budgets[place - 1]))
    return float("inf")


# --- victims -----------------------------------------------------------------------------------------


def handwritten() -> Task:
    """A neural network on scikit-learn's digits."""
    fewer, budgets, goals = (10, 15, 20, 30, 40), (25, 50, 100, 200, 400), (0.85, 0.9, 0.94, 0.96)
    return Task("handwritten digits", digits(), fewer, budgets, 400, 100, 10, goals, held_from=0.95)


def assistant() -> Task:
    """CLINC150: 150 intents."""
    victim = intents(clinc(money=True), known=5000, held=800)
    return Task("clinc150, 150 intents", victim, (30, 60, 125), (250, 500, 1000, 2000), 1000, 500, 3, (0.7, 0.8, 0.9))


def bank() -> Task:
    """banking77: 77 intents of one trade."""
    victim = intents(banking(), known=1300, held=500)
    return Task("banking77, 77 intents", victim, (15, 30, 60), (125, 250, 500, 1000), 500, 250, 3, (0.6, 0.7, 0.85))


class Seen:
    """MiniLM's vectors, each made once; spaces at a text's end change nothing."""

    def __init__(self) -> None:
        self._model = Model()
        self._known: dict[str, Floats] = {}

    def __call__(self, texts: Texts) -> Floats:
        """[n, 384]"""
        plain = [text.rstrip() for text in texts]
        new = [text for text in dict.fromkeys(plain) if text not in self._known]
        if new:
            self._known.update(zip(new, self._model(new).astype(np.float64), strict=True))
        return np.array([self._known[text] for text in plain])


def intents(labelled: Labelled, known: int, held: int) -> Victim:
    """Multinomial logistic regression over MiniLM vectors; attackers ask about questions that it was not trained on."""
    see, names = Seen(), sorted(set(labelled.intents))
    see(labelled.texts)  # ahead of any request, which would time out meanwhile
    classes = np.array([names.index(intent) for intent in labelled.intents])
    victim = LogisticRegression(C=30.0, max_iter=400).fit(see(labelled.texts[:known]), classes[:known])
    pool = labelled.texts[known + held :]

    def fresh(count: int, random: np.random.Generator) -> list[str]:
        return [pool[place] for place in random.permutation(len(pool))[:count]]

    def near(text: str, random: np.random.Generator) -> str:
        words = text.split()
        place = int(random.integers(len(words)))
        return " ".join(words[:place] + words[place + 1 :]) or text

    return Victim(
        say=lambda texts: np.asarray(victim.predict_proba(see(texts))),
        see=see,
        fresh=fresh,
        pool=lambda random: fresh(MOST_CLUSTERED, random),
        near=near,
        respelled=lambda text, k: text + " " * k,
        held=labelled.texts[known : known + held],
    )
