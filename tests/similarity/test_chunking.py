"""Cutting texts."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from similarity.chunking import chunks, strategy, words
from similarity.library.records import Invalid, Strategy


@given(st.integers(0, 60), st.integers(1, 12), st.data())
def test_pieces_are_full_overlap_and_cover_everything(count: int, size: int, data: st.DataObject) -> None:
    overlap = data.draw(st.integers(0, size // 2))
    names = [f"w{at}" for at in range(count)]
    pieces = [piece.split() for piece in chunks(" ".join(names), Strategy(size, overlap), words)]
    assert all(len(piece) <= size for piece in pieces)
    assert all(len(piece) == size for piece in pieces[:-1])
    rebuilt = [word for at, piece in enumerate(pieces) for word in piece[overlap if at else 0 :]]
    assert rebuilt == names
    assert all(len(piece) > overlap for piece in pieces[1:])
    assert all(a[len(a) - overlap :] == b[:overlap] for a, b in pairwise(pieces))


@given(st.text())
def test_every_visible_character_is_in_a_piece(text: str) -> None:
    joined = "".join(chunks(text, Strategy(3, 0), words))
    assert [c for c in joined if not c.isspace()] == [c for c in text if not c.isspace()]


def test_a_long_word_is_many_tokens() -> None:
    assert len(words("x" * 1600)) == 100


@pytest.mark.parametrize(("size", "overlap"), [(99, 0), (4097, 0), (100, 51), (100, -1)])
def test_sizes_out_of_bounds_are_refused(size: int, overlap: int) -> None:
    with pytest.raises(Invalid):
        strategy(size, overlap)


def test_sizes_within_bounds_are_a_clients_own() -> None:
    assert strategy(100, 50) == Strategy(100, 50, automatic=False)
    assert Strategy() == Strategy(800, 400, automatic=True)
