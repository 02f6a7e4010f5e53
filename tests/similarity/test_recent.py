"""The window of the most recent vectors."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from similarity.recent import Recent
from tests.similarity.made import directions


def test_the_oldest_leave_first() -> None:
    window, vectors = Recent(3, 16), directions(5, 16, 1)
    assert window.add(np.array([1, 2, 3]), vectors[:3]).tolist() == []
    assert window.add(np.array([4, 5]), vectors[3:]).tolist() == [1, 2]
    assert sorted(window.search(vectors[:1], 5).ids[0].tolist()) == [-1, -1, 3, 4, 5]
    assert window.search(vectors[4:], 1).scores[0, 0] == pytest.approx(1)


def test_a_batch_larger_than_the_window_leaves_its_end() -> None:
    window = Recent(2, 16)
    assert window.add(np.arange(5), directions(5, 16, 1)).tolist() == [0, 1, 2]
    assert len(window) == 2


def test_it_has_room_for_one_at_least() -> None:
    with pytest.raises(ValueError, match="one"):
        Recent(0, 16)


@given(st.lists(st.integers(0, 8), max_size=60), st.integers(1, 5))
def test_it_holds_the_last_distinct_ids(added: list[int], capacity: int) -> None:
    window, held = Recent(capacity, 4), []
    for id in added:
        window.add(np.array([id]), directions(1, 4, id))
        held = [other for other in held if other != id] + [id]
        held = held[-capacity:]
    found = window.search(directions(1, 4, 99), 9).ids[0].tolist() if added else []
    assert sorted(id for id in found if id >= 0) == sorted(held)
