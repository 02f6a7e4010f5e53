"""The exact index finds what a plain comparison finds, whatever was removed."""

import numpy as np
import pytest

from prompts.neighbours import ExactNeighbours


def test_it_agrees_with_a_plain_comparison_under_additions_and_removals() -> None:
    rng = np.random.default_rng(2)
    index = ExactNeighbours(8)
    kept: dict[int, np.ndarray[tuple[int], np.dtype[np.float32]]] = {}
    for step in range(600):
        if kept and rng.random() < 0.4:
            gone = int(rng.choice(list(kept)))
            del kept[gone]
            index.remove(gone)
        else:
            vector = rng.normal(size=8).astype(np.float32)
            kept[step] = vector / np.float32(np.linalg.norm(vector))
            index.add(step, kept[step])
        if kept and step % 20 == 0:
            query = next(iter(kept.values()))
            ids, cosines = index.search(query, 5)
            expected = sorted(kept, key=lambda i: -float(kept[i] @ query))[:5]
            assert ids.tolist() == expected
            assert cosines == pytest.approx([float(kept[i] @ query) for i in expected], abs=1e-6)


def test_an_empty_index_finds_nothing() -> None:
    index = ExactNeighbours(3)
    index.remove(7)
    ids, cosines = index.search(np.ones(3, np.float32), 4)
    assert (len(ids), len(cosines)) == (0, 0)


def test_an_id_is_kept_once() -> None:
    index = ExactNeighbours(3)
    index.add(1, np.ones(3, np.float32))
    with pytest.raises(ValueError, match="kept already"):
        index.add(1, np.ones(3, np.float32))
