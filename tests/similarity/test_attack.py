"""The attacks work against exact scores and fail against the default disclosure of a hidden store.

Random vectors of 384 dimensions round two centres stand for texts of two domains; the same attacks run
against all-MiniLM-L6-v2 and real questions in tests/benchmarks/similarity.py.
"""

import numpy as np
import pytest

from similarity.setting import Content, Disclosure
from similarity.vectors import Vectors, unit
from tests.similarity.attack import Store, adaptive, nearest_question, recovered, regressed, restarted
from tests.similarity.made import directions

DIMENSIONS, ITEMS, QUESTIONS = 384, 60, 2500
HIDDEN = Disclosure(content=Content.HIDDEN)
CHOSEN = range(0, ITEMS, 12)


def domain(count: int, centre: int, seed: int) -> Vectors:
    """Vectors with a cosine of about .35 to each other and about 0 to those round another centre."""
    middle = directions(1, DIMENSIONS, centre)
    return unit(0.75 * middle + directions(count, DIMENSIONS, seed))


@pytest.fixture(scope="module")
def items() -> Vectors:
    return domain(ITEMS, 1, 3)


@pytest.fixture(scope="module")
def foreign() -> Vectors:
    """An attacker's texts, of another domain, with a few that come near."""
    return unit(domain(QUESTIONS, 2, 4) + 0.25 * directions(1, DIMENSIONS, 1))


def test_exact_scores_hand_over_the_vector(items: Vectors, foreign: Vectors) -> None:
    cosines = [regressed(foreign, (foreign @ items[item]).astype(float), items[item]) for item in CHOSEN]
    assert min(cosines) >= 0.99


def test_rank_alone_hands_over_most_of_it(items: Vectors, foreign: Vectors) -> None:
    """Every one of 20 items ranked by every question: why an exact order needs a budget, too."""
    ranks = np.argsort(np.argsort(foreign @ items[:20].T, axis=1), axis=1).astype(float)
    assert np.mean([regressed(foreign, ranks[:, item], items[item]) for item in range(20)]) >= 0.75


def test_the_default_disclosure_holds_against_another_domain(items: Vectors, foreign: Vectors) -> None:
    store = Store(items, HIDDEN)
    answers = [store.ask(question) for question in foreign]
    assert max(recovered(foreign, answers, items, CHOSEN).values()) <= 0.45


def test_without_a_floor_it_would_not(items: Vectors, foreign: Vectors) -> None:
    store = Store(items, Disclosure(content=Content.HIDDEN, edges=(-0.9, 0.05, 0.1, 0.15), lifetime=10**6))
    answers = [store.ask(question) for question in foreign]
    assert max(recovered(foreign, answers, items, CHOSEN).values()) > 0.45


def test_questions_of_its_own_domain_learn_little_more_than_the_nearest_one(items: Vectors) -> None:
    own = unit(items[np.arange(400) % ITEMS] + 0.8 * domain(400, 1, 5))
    store = Store(items, HIDDEN)
    answers = [store.ask(question) for question in own]
    found = recovered(own, answers, items, CHOSEN)
    assert found["least squares"] <= nearest_question(own, answers, items, CHOSEN) + 0.05


def test_sweeping_thresholds_and_repeating_is_free_and_tells_nothing(items: Vectors) -> None:
    store = Store(items, HIDDEN)
    question = unit(items[:1] + directions(1, DIMENSIONS, 8))[0]
    first = store.ask(question)
    spent = {item: set(known) for item, known in store.spent.items()}
    for threshold in np.linspace(-1, 1, 101):
        swept = store.ask(question, float(threshold))
        assert set(swept.rows) <= set(first.rows)
        assert swept.charged == ()
    assert {item: known for item, known in store.spent.items() if known} == {i: k for i, k in spent.items() if k}


def test_paraphrases_of_a_question_are_answered_like_it_and_free(items: Vectors) -> None:
    store = Store(items, HIDDEN)
    question = unit(items[:1] + 0.5 * directions(1, DIMENSIONS, 8))[0]
    first = store.ask(question)
    spent = {item: set(known) for item, known in store.spent.items()}
    for paraphrase in unit(question + 0.2 * directions(50, DIMENSIONS, 9)):
        assert store.ask(paraphrase).rows == first.rows
    assert {item: known for item, known in store.spent.items() if known} == {i: k for i, k in spent.items() if k}


def test_linked_keys_share_one_budget_and_strangers_have_their_own(items: Vectors) -> None:
    own = unit(items[0] + 0.8 * directions(100, DIMENSIONS, 9))

    def scored(clusters: int) -> int:
        store = Store(items, HIDDEN)
        answers = [store.ask(question, cluster=bytes([at % clusters])) for at, question in enumerate(own)]
        return sum(row.id == 0 and row.score is not None for answer in answers for row in answer.rows)

    assert scored(1) == HIDDEN.lifetime
    assert scored(5) == 5 * HIDDEN.lifetime


def test_intervals_and_restarts_recover_what_fine_buckets_tell_and_little_by_default(
    items: Vectors, foreign: Vectors
) -> None:
    fine = Disclosure(content=Content.HIDDEN, edges=tuple(np.linspace(-0.9, 0.9, 73)), dither=0.0, lifetime=10**6)
    cosines = []
    for setting in (fine, HIDDEN):
        store = Store(items[:10], setting)
        answers = [store.ask(question) for question in foreign[:1000]]
        cosines.append(np.mean([restarted(foreign[:1000], answers, at, items[at], setting) for at in range(3)]))
    assert cosines[0] >= 0.95
    assert cosines[1] <= 0.45


def test_choosing_questions_by_the_answers_gains_what_averaging_does(items: Vectors) -> None:
    """The noise of these questions is white, which an average of those that find an item takes out; that of real ones
    is not, and the gain over the nearest is none."""
    own = unit(items[np.arange(400) % ITEMS] + 0.8 * domain(400, 1, 5))
    fine = Disclosure(content=Content.HIDDEN, edges=tuple(np.linspace(-0.9, 0.9, 73)), dither=0.0, lifetime=10**6)
    means = []
    for setting in (fine, HIDDEN):
        reached = []
        for item in CHOSEN[:4]:
            store = Store(items, setting)
            reached.append(adaptive(own, lambda at, store=store: store.ask(own[at]), item, items[item], item, 60))
        means.append(np.mean(reached, axis=0))
    (unbound, _), (best, nearest) = means
    assert unbound >= 0.9
    assert best <= nearest + 0.1


def test_no_item_is_scored_past_its_budget(items: Vectors) -> None:
    own = unit(items[0] + 0.8 * directions(300, DIMENSIONS, 9))
    store = Store(items, HIDDEN)
    answers = [store.ask(question) for question in own]
    told = [row.id for answer in answers for row in answer.rows if row.score is not None]
    assert max(map(told.count, set(told))) == HIDDEN.lifetime
    assert all(any(row.id == 0 for row in answer.rows) for answer in answers)
