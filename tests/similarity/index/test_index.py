"""Every kind of index against NumPy, through a life of additions, changes and removals."""

import ast
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from similarity.index import Index, Kind, built, kind_for, restored
from similarity.index.index import FLAT_TO, HNSW_TO, SQ8_TO
from similarity.vectors import Ids, Vectors, unit
from tests.similarity.made import directions, topics

DIMENSIONS, COUNT = 48, 1500
KINDS = list(Kind)
CODE = {Kind.FLAT: 1e-5, Kind.HNSW: 1e-5, Kind.SQ8: 0.02, Kind.PQ: 0.05}
"""How far a kind's score may be from the inner product."""


def best(question: Vectors, vectors: dict[int, Vectors], k: int) -> list[int]:
    """The k nearest ids, by NumPy."""
    ids = np.array(list(vectors))
    scores = np.stack([vectors[id] for id in ids.tolist()]) @ question
    return [int(id) for id in ids[np.argsort(-scores)][:k]]


@pytest.fixture(params=KINDS)
def index(request: pytest.FixtureRequest) -> Index:
    """An index of COUNT vectors, numbered from 100."""
    return built(request.param, np.arange(100, 100 + COUNT), topics(COUNT, DIMENSIONS, 2))


def contents() -> dict[int, Vectors]:
    return dict(zip(range(100, 100 + COUNT), topics(COUNT, DIMENSIONS, 2), strict=True))


def recall(index: Index, vectors: dict[int, Vectors], k: int = 10, allowed: Ids | None = None) -> float:
    """The share of the true k nearest that is found."""
    questions = topics(40, DIMENSIONS, 3)
    found = index.search(questions, k, allowed).ids
    open = vectors if allowed is None else {id: vectors[id] for id in allowed.tolist()}
    return float(
        np.mean([len(set(row.tolist()) & set(best(q, open, k))) / k for row, q in zip(found, questions, strict=True)])
    )


def test_it_finds_the_nearest_and_says_how_near(index: Index) -> None:
    vectors = contents()
    assert recall(index, vectors) >= (0.75 if index.kind is Kind.PQ else 0.95)
    question = topics(1, DIMENSIONS, 4)
    found = index.search(question, 10)
    true = [float(vectors[id] @ question[0]) for id in found.ids[0].tolist()]
    assert np.allclose(found.scores[0], true, atol=CODE[index.kind])
    assert (np.diff(found.scores[0]) <= 1e-6).all()


def test_a_filter_lets_nothing_else_through(index: Index) -> None:
    vectors = contents()
    for step in (2, 7, 100):
        allowed = np.arange(100, 100 + COUNT, step)
        found = index.search(topics(20, DIMENSIONS, 5), 10, allowed).ids
        assert set(found.ravel().tolist()) <= set(allowed.tolist())
        assert recall(index, vectors, allowed=allowed) >= (0.7 if index.kind is Kind.PQ else 0.95)


def test_a_filter_of_strange_ids_finds_nothing(index: Index) -> None:
    for allowed in (np.empty(0, np.int64), np.array([5, 99999])):
        found = index.search(topics(2, DIMENSIONS, 5), 3, allowed)
        assert (found.ids == -1).all()
        assert np.isneginf(found.scores).all()


def test_what_is_removed_is_never_found_again(index: Index) -> None:
    vectors = contents()
    gone = np.arange(100, 100 + COUNT, 3)
    assert index.remove(gone) == len(gone)
    assert index.remove(gone) == 0
    assert len(index) == COUNT - len(gone)
    found = index.search(topics(50, DIMENSIONS, 6), 20).ids
    assert not set(found.ravel().tolist()) & set(gone.tolist())
    left = {id: vector for id, vector in vectors.items() if id not in set(gone.tolist())}
    assert recall(index, left) >= (0.75 if index.kind is Kind.PQ else 0.95)


def test_a_vector_whose_id_is_there_takes_its_place(index: Index) -> None:
    target = directions(1, DIMENSIONS, 7)
    index.add(np.array([150]), target)
    assert len(index) == COUNT
    found = index.search(target, 1)
    assert found.ids[0, 0] == 150
    assert found.scores[0, 0] == pytest.approx(1.0, abs=0.2 if index.kind is Kind.PQ else 0.05)


def test_of_one_id_twice_in_a_batch_the_last_counts(index: Index) -> None:
    pair = directions(2, DIMENSIONS, 8)
    index.add(np.array([9999, 9999]), pair)
    assert len(index) == COUNT + 1
    assert index.search(pair[1:], 1).ids[0, 0] == 9999
    assert 9999 not in index.search(pair[:1], 1).ids


def test_more_is_asked_than_there_is(index: Index) -> None:
    index.remove(np.arange(103, 100 + COUNT))
    found = index.search(topics(2, DIMENSIONS, 9), 8)
    assert (np.sort(found.ids[:, :3], axis=1) == [100, 101, 102]).all()
    assert (found.ids[:, 3:] == -1).all()


def test_an_empty_index_finds_nothing_and_takes_new_vectors(index: Index) -> None:
    index.remove(np.arange(100, 100 + COUNT))
    assert len(index) == 0
    assert (index.search(topics(2, DIMENSIONS, 9), 3).ids == -1).all()
    target = topics(1, DIMENSIONS, 10)
    index.add(np.array([1]), target)
    assert index.search(target, 1).ids.tolist() == [[1]]


def test_its_parts_make_the_same_index(index: Index) -> None:
    index.remove(np.arange(100, 100 + COUNT, 3))
    again = restored(index.kind, {name: array.copy() for name, array in index.parts().items()})
    questions = topics(20, DIMENSIONS, 11)
    assert len(again) == len(index)
    assert (again.search(questions, 5).ids == index.search(questions, 5).ids).all()
    again.add(np.array([100]), questions[:1])
    assert again.search(questions[:1], 1).ids[0, 0] == 100


@pytest.mark.parametrize("kind", KINDS)
def test_other_parts_are_refused(kind: Kind) -> None:
    with pytest.raises(ValueError, match="no parts"):
        restored(kind, {})
    with pytest.raises(ValueError, match="no parts"):
        restored(kind, {"ids": np.empty(0, np.int64), "index": np.zeros(64, np.uint8), "newest": np.zeros(1)})


def test_the_kind_follows_from_the_size() -> None:
    assert [kind_for(count) for count in (0, FLAT_TO, FLAT_TO + 1, HNSW_TO, HNSW_TO + 1, SQ8_TO, SQ8_TO + 1)] == [
        Kind.FLAT,
        Kind.FLAT,
        Kind.HNSW,
        Kind.HNSW,
        Kind.SQ8,
        Kind.SQ8,
        Kind.PQ,
    ]


def test_only_a_graph_wears_out() -> None:
    for kind in KINDS:
        index = built(kind, np.arange(600), topics(600, DIMENSIONS, 2))
        index.remove(np.arange(160))
        assert index.worn() == (kind is Kind.HNSW)


def test_as_many_cells_are_read_as_hold_the_nearest() -> None:
    """Few where vectors lie in topics, nearly all where they lie anywhere; the nearest are found in both."""
    strewn = unit(np.random.default_rng(3).normal(size=(4500, DIMENSIONS)))
    read = []
    for vectors in (topics(4500, DIMENSIONS, 3, spread=0.5, topics=60), strewn):
        index = built(Kind.SQ8, np.arange(4000), vectors[:4000])
        exact = built(Kind.FLAT, np.arange(4000), vectors[:4000])
        found, truth = (one.search(vectors[4000:], 10).ids for one in (index, exact))
        shared = [len(set(a) & set(b)) for a, b in zip(found.tolist(), truth.tolist(), strict=True)]
        assert np.mean(shared) >= 9.5
        read.append(int(index.parts()["read"][0]))
    assert read[0] <= 16 < 40 <= read[1]


def test_cells_are_not_learnt_from_a_handful() -> None:
    with pytest.raises(ValueError, match="256"):
        built(Kind.SQ8, np.arange(100), topics(100, DIMENSIONS, 2))


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(["add", "remove"]), st.lists(st.integers(0, 12), max_size=6)),
        max_size=12,
    )
)
@pytest.mark.parametrize("kind", [Kind.FLAT, Kind.HNSW])
def test_after_any_life_it_holds_what_a_dictionary_holds(kind: Kind, life: list[tuple[str, list[int]]]) -> None:
    index, held = built(kind, np.empty(0, np.int64), np.empty((0, 8), np.float32)), {}
    for turn, (step, ids) in enumerate(life):
        if step == "add":
            vectors = directions(len(ids), 8, turn)
            index.add(np.array(ids, np.int64), vectors)
            held.update(zip(ids, vectors, strict=True))
        else:
            assert index.remove(np.array(ids, np.int64)) == sum(held.pop(id, None) is not None for id in ids)
    question = directions(1, 8, 99)
    assert len(index) == len(held)
    assert [id for id in index.search(question, 13).ids[0].tolist() if id >= 0] == (
        best(question[0], held, 13) if held else []
    )


def imported(path: Path) -> set[str]:
    """The packages that a module imports."""
    nodes = list(ast.walk(ast.parse(path.read_text())))
    plain = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    return {name.split(".")[0] for name in plain | {n.module or "" for n in nodes if isinstance(n, ast.ImportFrom)}}


def test_nothing_else_imports_faiss() -> None:
    packages = [Path(__file__).parents[3] / name for name in ("llmguard", "prompts", "watermark", "similarity")]
    modules = [path for package in packages for path in package.rglob("*.py")]
    assert {path.parent.name for path in modules if "faiss" in imported(path)} == {"index"}


def test_vectors_are_made_unit() -> None:
    assert np.allclose(np.linalg.norm(unit([[3.0, 4.0], [1e-3, 0.0]]), axis=1), 1)
    assert unit([[0.0, 0.0]]).tolist() == [[0.0, 0.0]]
    for strange in ([1.0, 2.0], [[float("nan"), 1.0]], [[float("inf"), 1.0]]):
        with pytest.raises(ValueError, match="vector"):
            unit(strange)
