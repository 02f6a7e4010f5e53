"""Substitutes trained on a classifier's answers: cheap from the bare upstream, dear from labels."""

from collections.abc import AsyncIterator

import numpy as np
import pytest
from sklearn.kernel_ridge import KernelRidge

from llmguard.outputs.scores import Reduction
from tests.attacks.classifying import Refusal, bare, guarded, serving
from tests.attacks.surrogate import (
    ATTACKERS,
    RIDGES,
    WIDTHS,
    Ask,
    Fit,
    Floats,
    Victim,
    agreement,
    digits,
    distances,
    interval,
    plain,
    tuned,
)
from tests.benchmarks.surrogate import questions
from tests.fakes import FakeOpenAI

pytestmark = pytest.mark.anyio

FULL, LABEL = Reduction("full"), Reduction("label")
QUESTIONS = 50
DEARER = 3
ATTACKS = 5


@pytest.fixture(scope="module")
def victim() -> Victim:
    return digits()


@pytest.fixture
async def fake(victim: Victim) -> AsyncIterator[FakeOpenAI]:
    async with serving(victim) as found:
        yield found


async def attacked(victim: Victim, ask: Ask, attacker: str, budget: int, how: Reduction) -> Floats:
    """Agreement [attacks, held] of substitutes from independent attacks."""
    return np.array(
        [await agreement(victim, ask, attacker, budget, how, np.random.default_rng(seed)) for seed in range(ATTACKS)],
        np.float64,
    )


def test_an_interval_is_that_of_a_mean() -> None:
    agreed = (np.random.default_rng(2).random((200, 400)) < 0.7).astype(np.float64)
    low, high = interval(agreed, np.random.default_rng(3), 500)
    # Of independent ones: 2 * 1.96 standard errors of 80,000, times the square root of three for resampling two ways.
    assert high - low == pytest.approx(2 * 1.96 * (0.21 / 80_000) ** 0.5 * 3**0.5, rel=0.2)
    assert low < agreed.mean() < high


def test_questions_are_read_off_a_logarithmic_scale() -> None:
    assert questions(0.9, [10, 100, 1000], [0.5, 0.8, 1.0]) == pytest.approx(1000**0.5 * 10)
    assert questions(0.4, [10, 100], [0.5, 0.8]) == 10
    assert questions(0.9, [10, 100], [0.5, 0.8]) == np.inf


def test_what_is_left_out_is_missed_as_by_a_fit_without_it() -> None:
    """The fit that is chosen against ridge regression made anew without each input; the width is that of the kernel."""
    random = np.random.default_rng(5)
    seen, targets = random.normal(size=(30, 3)), random.normal(size=(30, 2))
    targets += 3 * np.sin(seen @ random.normal(size=(3, 2)))
    middle = float(np.median(distances(seen, seen)))

    def missed(fit: Fit) -> float:
        found = 0.0
        for left in range(30):
            others = np.arange(30) != left
            # The mean is that of all, as in the closed form.
            model = KernelRidge(alpha=fit.ridge, kernel="rbf", gamma=1 / fit.width)
            model.fit(seen[others], targets[others] - targets.mean(axis=0))
            found += float(((model.predict(seen[[left]]) + targets.mean(axis=0) - targets[left]) ** 2).sum())
        return found

    fits = [Fit(middle * width, ridge) for width in WIDTHS for ridge in RIDGES]
    assert tuned(seen, targets) == min(fits, key=missed)


async def test_full_scores_give_the_classifier_away_for_fifty_questions(fake: FakeOpenAI, victim: Victim) -> None:
    async with bare(fake) as ask:
        agreed = await attacked(victim, ask, "plain", QUESTIONS, FULL)
    low, high = interval(agreed, np.random.default_rng(1))
    print(f"full, {QUESTIONS} questions: {agreed.mean():.3f} [{low:.3f}, {high:.3f}]")
    assert low > 0.88


@pytest.mark.parametrize("attacker", ATTACKERS)
async def test_labels_cost_more_than_three_times_the_questions_of_full_scores(
    fake: FakeOpenAI, victim: Victim, attacker: str
) -> None:
    async with bare(fake) as ask, guarded(fake, {}) as guard:
        full = await attacked(victim, ask, "plain", QUESTIONS, FULL)
        labels = await attacked(victim, guard, attacker, DEARER * QUESTIONS, LABEL)
    low, high = interval(full - labels, np.random.default_rng(1))
    print(f"{attacker}: {labels.mean():.3f}, {-low:.3f} to {-high:.3f} behind")
    # With three times the questions it is still behind: equal agreement costs more than that.
    assert low > 0.0


async def test_averaging_has_nothing_to_average(fake: FakeOpenAI, victim: Victim) -> None:
    """Asked again a text tells nothing new; spelled otherwise, what the noise has in common stays."""
    texts = victim.fresh(40, np.random.default_rng(3))
    async with guarded(fake, {"outputs": {"scores": "rounded", "smoothing": 2.0}}) as guard:
        first = await guard(texts)
        again = await guard(texts * 5)
        mean = np.mean([await guard([victim.respelled(text, k) for text in texts]) for k in range(16)], axis=0)
    assert (again == np.tile(first, (5, 1))).all()
    truth = victim.say(texts)
    unsure = truth.max(axis=1) < 0.9
    assert np.abs(mean - truth)[unsure].max(axis=1).mean() > 0.05


async def test_private_labels_end_with_the_budget(fake: FakeOpenAI, victim: Victim) -> None:
    private = {"outputs": {"privacy": {"epsilon": 4.0, "budget": 400.0, "delta": 0.0}}}
    async with guarded(fake, private) as guard:
        agreed = await agreement(victim, guard, "plain", 100, LABEL, np.random.default_rng(0))
        with pytest.raises(Refusal):
            await plain(victim, guard, 1, LABEL, np.random.default_rng(1))
    assert agreed.mean() < 0.9
