"""What an answer says, and that it says no more."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from similarity.disclosure import Answer, Candidate, Question, Spent, bucket_of, disclosed, filler, pair_score
from similarity.disclosure import same_question as repeated
from similarity.setting import Content, Disclosure, told
from tests.similarity.made import directions

KEY = b"k" * 32
HIDDEN = Disclosure(content=Content.HIDDEN)
RETURNED = Disclosure()
NOTHING = Spent({}, frozenset())

scores = st.lists(st.floats(-1, 1, allow_nan=False), max_size=40)


def ranked(values: list[float]) -> list[Candidate]:
    """Candidates numbered from 1, best first."""
    return [Candidate(id, score) for id, score in sorted(enumerate(values, 1), key=lambda pair: -pair[1])]


def asked(digest: bytes = b"q", limit: int = 10, threshold: float | None = None, cluster: bytes = b"c") -> Question:
    return Question(digest, cluster, limit, threshold)


def answer(values: list[float], setting: Disclosure = HIDDEN, spent: Spent = NOTHING, **question: object) -> Answer:
    return disclosed(ranked(values), setting, asked(**question), spent, KEY)  # type: ignore[arg-type]


@given(scores)
def test_within_budget_the_order_is_exact_and_scores_are_told_by_bucket(values: list[float]) -> None:
    rows = answer(values, RETURNED).rows
    assert [row.id for row in rows] == [candidate.id for candidate in ranked(values)][:10]
    levels = {told(bucket, RETURNED.edges) for bucket in range(5)}
    assert {row.score for row in rows} <= levels
    assert all(a.score >= b.score for a, b in pairwise(rows) if a.score and b.score)


@given(scores)
def test_a_score_told_is_within_its_bucket_and_dither(values: list[float]) -> None:
    by_id = {candidate.id: candidate.score for candidate in ranked(values)}
    borders = (-1.0, *RETURNED.edges, 1.0)
    for row in answer(values, RETURNED).rows:
        bucket = [told(bucket, RETURNED.edges) for bucket in range(5)].index(row.score)  # type: ignore[arg-type]
        assert borders[bucket] - 0.05 <= by_id[row.id] <= borders[bucket + 1] + 0.05


@given(scores, st.floats(-1, 1, allow_nan=False))
def test_a_threshold_says_nothing_that_the_scores_do_not(values: list[float], threshold: float) -> None:
    every = answer(values, RETURNED).rows
    assert answer(values, RETURNED, threshold=threshold).rows == tuple(
        row for row in every if row.score is not None and row.score >= threshold
    )


def test_a_hidden_store_does_not_find_what_lies_in_the_lowest_bucket() -> None:
    values = [0.9, 0.45, 0.2, 0.0, -0.3]
    assert [row.id for row in answer(values).rows] == [1, 2]
    assert [row.id for row in answer(values, RETURNED).rows] == [1, 2, 3, 4, 5]


@given(scores, st.sets(st.integers(1, 40)), st.sets(st.integers(1, 40)))
def test_only_items_within_budget_are_scored_and_each_is_charged_once(
    values: list[float], full: set[int], paid: set[int]
) -> None:
    spent = Spent({id: HIDDEN.lifetime for id in full}, frozenset(paid))
    found = answer(values, HIDDEN, spent)
    for row in found.rows:
        assert (row.score is None) == (row.id in full - paid)
    assert set(found.charged) == {row.id for row in found.rows if row.score is not None} - paid
    assert answer(values, RETURNED, spent).charged == ()
    assert found.scored == sum(row.score is not None for row in found.rows)


@given(scores, st.lists(st.integers(1, 40)), st.integers(0, 10))
def test_a_repeat_has_the_same_answer_whatever_was_asked_between(
    values: list[float], between: list[int], lifetime: int
) -> None:
    setting = Disclosure(content=Content.HIDDEN, lifetime=lifetime)
    before = {id: between.count(id) for id in between[: len(between) // 2]}
    after = {id: before.get(id, 0) + between.count(id) for id in between}
    first = answer(values, setting, Spent(before, frozenset()))
    again = answer(values, setting, Spent(after, frozenset(first.charged)))
    assert again.rows == first.rows
    assert again.charged == ()


@given(st.lists(st.floats(0.35, 1), min_size=12, max_size=40, unique=True), st.randoms())
def test_past_the_budget_nothing_but_the_buckets_shows(values: list[float], random: object) -> None:
    spent = Spent({id: HIDDEN.lifetime for id in range(1, 41)}, frozenset())
    buckets = [bucket_of(value, HIDDEN, KEY, asked()) for value in values]
    others = list(values)
    for bucket in set(buckets):
        members = [at for at, one in enumerate(buckets) if one == bucket]
        shuffled = list(members)
        random.shuffle(shuffled)  # type: ignore[attr-defined]
        for at, of in zip(members, shuffled, strict=True):
            others[at] = values[of]
    assert answer(others, HIDDEN, spent).rows == answer(values, HIDDEN, spent).rows


def test_past_the_budget_the_order_is_the_same_for_each_question_and_another_for_each_cluster() -> None:
    spent = Spent({id: HIDDEN.lifetime for id in range(1, 9)}, frozenset())
    values = [0.57 + id / 1e4 for id in range(8)]
    orders = {
        tuple(row.id for row in answer(values, HIDDEN, spent, digest=digest, cluster=cluster).rows)
        for digest in (b"q", b"r", b"s")
        for cluster in (b"c", b"d")
    }
    assert len(orders) == 2


def test_an_item_past_its_budget_is_still_found_after_those_of_its_bucket() -> None:
    spent = Spent({1: HIDDEN.lifetime}, frozenset())
    rows = answer([0.73, 0.72, 0.715, 0.55], HIDDEN, spent).rows
    assert [row.id for row in rows] == [2, 3, 1, 4]
    assert [row.score is None for row in rows] == [False, False, True, False]


@given(scores, st.integers(-3, 100), st.integers(1, 20))
def test_no_more_than_the_cap_is_told_and_blanks_make_up_the_rest(values: list[float], limit: int, cap: int) -> None:
    setting = Disclosure(content=Content.HIDDEN, top_k=cap, one_length=True)
    found = answer(values, setting, limit=limit)
    assert len(found.rows) + found.blanks == max(0, min(limit, cap))
    assert answer(values, RETURNED, limit=limit).blanks == 0


def test_the_dither_moves_a_border_by_question_and_cluster_but_not_by_time() -> None:
    near = HIDDEN.borders[1]
    found = [bucket_of(near, HIDDEN, KEY, asked(bytes([at]))) for at in range(200)]
    assert set(found) == {1, 2}
    assert 60 < found.count(1) < 140
    assert found == [bucket_of(near, HIDDEN, KEY, asked(bytes([at]))) for at in range(200)]
    assert found != [bucket_of(near, HIDDEN, b"l" * 32, asked(bytes([at]))) for at in range(200)]
    assert found != [bucket_of(near, HIDDEN, KEY, asked(bytes([at]), cluster=b"d")) for at in range(200)]


def test_a_border_cannot_be_found_more_finely_than_the_dither() -> None:
    """An attacker who can set the score at will sees the border within ± dither only, question by question."""
    steps = np.linspace(0.43, 0.57, 400)
    seen = [bucket_of(float(s), RETURNED, KEY, asked(at.to_bytes(2))) for at, s in enumerate(steps)]
    changes = np.flatnonzero(np.diff(seen))
    plain = [int(s >= 0.5) for s in steps]
    assert np.flatnonzero(np.diff(plain)).size == 1
    assert changes.size > 20
    assert np.ptp(steps[changes]) > 0.06


def test_a_hybrid_order_is_served_as_it_is_and_its_scores_fall() -> None:
    candidates = [Candidate(1, 0.5), Candidate(2, 0.9), Candidate(3, 0.2), Candidate(4, 0.8)]
    rows = disclosed(candidates, RETURNED, asked(), NOTHING, KEY).rows
    assert [row.id for row in rows] == [1, 2, 3, 4]
    assert [row.score for row in rows] == sorted((row.score or 0 for row in rows), reverse=True)


def test_a_pair_scores_the_same_both_ways_and_by_bucket() -> None:
    digests = (b"a", b"b")
    told_scores = {pair_score(at / 100, RETURNED, KEY, b"c", digests) for at in range(-100, 100)}
    assert len(told_scores) == 5
    assert pair_score(0.6, RETURNED, KEY, b"c", digests) == pair_score(0.6, RETURNED, KEY, b"c", digests[::-1])


def test_a_paraphrase_is_the_earlier_question() -> None:
    earlier = directions(5, 64, 1)
    close = earlier[3] * 0.99 + directions(1, 64, 2)[0] * 0.05
    assert repeated(close / np.linalg.norm(close), earlier, HIDDEN) == 3
    assert repeated(directions(1, 64, 3)[0], earlier, HIDDEN) is None
    assert repeated(earlier[0], earlier[:0], HIDDEN) is None


@given(st.integers(0, 10**6), st.integers(1, 4096))
def test_the_filler_makes_lengths_whole(length: int, block: int) -> None:
    assert (length + filler(length, block)) % block == 0
    assert 0 <= filler(length, block) < block


@pytest.mark.parametrize(
    "wrong",
    [
        {"edges": ()},
        {"edges": (0.5, 0.5)},
        {"edges": (0.5, 0.3)},
        {"edges": (0.5, 1.0)},
        {"dither": -0.1},
        {"lifetime": -1},
        {"top_k": 0},
        {"same_question": 0.0},
    ],
)
def test_a_setting_that_no_answer_can_follow_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"edges|dither"):
        Disclosure(**wrong)  # type: ignore[arg-type]
