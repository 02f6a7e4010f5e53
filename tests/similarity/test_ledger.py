"""Questions and charges that outlive the process, and threads that cannot overdraw."""

import threading
from pathlib import Path

import numpy as np
import pytest

from similarity.disclosure import Answer, Shown, Spent
from similarity.ledger import Asked, Ledger
from similarity.library.records import Cut
from similarity.library.seal import Seal
from similarity.vectors import digest
from tests.similarity.made import directions
from tests.similarity.whole import DIMENSIONS, KEY, Whole


def asked(seed: int) -> Asked:
    vector = directions(1, DIMENSIONS, seed)[0]
    return Asked(digest(vector), vector, new=True)


def charging(item: int, lifetime: int) -> object:
    """A decision that scores one item while its budget lasts."""

    def decide(spent: Spent) -> Answer:
        open = item in spent.paid or spent.others[item] < lifetime
        return Answer((Shown(item, 0.5 if open else None),), (item,) if open and item not in spent.paid else ())

    return decide


@pytest.fixture
def whole(tmp_path: Path) -> Whole:
    made = Whole(tmp_path / "library")
    made.put("acme", made.stores.create("acme").id, "one text")
    return made


def test_threads_spend_no_more_than_there_is(whole: Whole) -> None:
    told: list[float | None] = []

    def ask(seed: int) -> None:
        decide = charging(1, 5)
        told.extend(row.score for row in whole.ledger.settled(b"c", 1, asked(seed), [1], decide).rows)  # type: ignore[arg-type]

    threads = [threading.Thread(target=ask, args=(seed,)) for seed in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert len(told) == 20
    assert sum(score is not None for score in told) == 5


def test_a_question_is_recognised_after_a_restart_by_its_cluster_and_store_alone(whole: Whole) -> None:
    question = asked(1)
    whole.ledger.settled(b"c", 1, question, [1], charging(1, 5))  # type: ignore[arg-type]
    near = question.vector + 0.02 * directions(1, DIMENSIONS, 2)[0]
    near = (near / np.linalg.norm(near)).astype(np.float32)
    for ledger in (whole.ledger, Ledger(whole.database, Seal(KEY), DIMENSIONS)):
        found = ledger.recognised(b"c", 1, near, 0.95)
        assert (found.digest, found.new) == (question.digest, False)
        assert np.array_equal(found.vector, question.vector)
        assert ledger.recognised(b"d", 1, near, 0.95).new
        assert ledger.recognised(b"c", 2, near, 0.95).new
        assert ledger.recognised(b"c", 1, directions(1, DIMENSIONS, 3)[0], 0.95).new


def test_an_item_deleted_meanwhile_costs_nothing(whole: Whole) -> None:
    answer = whole.ledger.settled(b"c", 1, asked(1), [99], charging(99, 5))  # type: ignore[arg-type]
    assert answer.charged == (99,)
    whole.stores.delete("acme", whole.stores.page("acme", Cut()).items[0].id)
    whole.ledger.settled(b"c", 1, asked(2), [1], charging(1, 5))  # type: ignore[arg-type]
    with whole.database.reading() as connection:
        for table in ("charges", "questions"):
            assert connection.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,)


def test_a_decision_that_fails_charges_nothing(whole: Whole) -> None:
    def decide(_: Spent) -> Answer:
        raise RuntimeError("no decision")

    with pytest.raises(RuntimeError, match="no decision"):
        whole.ledger.settled(b"c", 1, asked(1), [1], decide)
    assert whole.ledger.recognised(b"c", 1, asked(1).vector, 0.95).new
    assert whole.ledger.settled(b"c", 1, asked(1), [1], charging(1, 1)).charged == (1,)  # type: ignore[arg-type]
