"""The static embedding is cached whole or built anew, and near texts are near; sketches estimate Jaccard similarity."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from prompts.fingerprint import DIMENSIONS, SKETCH, alike, distil, load_or_distil, sketch
from prompts.normalise import shingles
from prompts.tokens import Tokens
from tests.prompts.vocabulary import vocabulary

WORDS = vocabulary()

BREAD = "\u043a\u0443\u043f\u0438\u0442\u044c \u043c\u043e\u043b\u043e\u043a\u043e \u0438 \u0445\u043b\u0435\u0431"
CHEESE = BREAD[:-4] + "\u0441\u044b\u0440"
WEATHER = "\u5929\u6c14\u600e\u4e48\u6837\u5440\u4eca\u5929"


def encode(texts: Sequence[str]) -> NDArray[np.float32]:
    """An encoder that gives each text a direction of its own, beside one that all share."""
    rows = [np.random.default_rng(list(text.encode())).normal(size=384) for text in texts]
    return (np.array(rows) + 5 * np.eye(1, 384)).astype(np.float32)


def refuse(texts: Sequence[str]) -> NDArray[np.float32]:
    """An encoder that must not be asked."""
    raise AssertionError(f"asked for {len(texts)} texts")


def test_it_is_built_once_and_then_read(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "static"
    first = load_or_distil(path, WORDS, encode)
    again = load_or_distil(path, WORDS, refuse)
    assert (first.how, again.how) == ("built", "cached")
    assert (first.embedding.rows == again.embedding.rows).all()
    assert (first.embedding.scale == again.embedding.scale).all()
    assert [entry.name for entry in path.parent.iterdir()] == ["static"]


@pytest.mark.parametrize("harm", ["cut", "flipped", "empty", "other version"])
def test_a_corrupt_cache_is_rebuilt_and_said(harm: str, tmp_path: Path) -> None:
    path = tmp_path / "static"
    whole = load_or_distil(path, WORDS, encode).embedding
    content = bytearray(path.read_bytes())
    if harm == "cut":
        del content[-1000:]
    elif harm == "flipped":
        content[len(content) // 2] ^= 1
    elif harm == "empty":
        content.clear()
    else:
        content[30] ^= 1
    path.write_bytes(content)
    found = load_or_distil(path, WORDS, encode)
    assert found.how == "rebuilt"
    assert (found.embedding.rows == whole.rows).all()
    assert load_or_distil(path, WORDS, refuse).how == "cached"


def test_another_vocabulary_does_not_use_the_cache(tmp_path: Path) -> None:
    load_or_distil(tmp_path / "static", WORDS, encode)
    assert load_or_distil(tmp_path / "static", vocabulary(("more",)), encode).how == "rebuilt"


def test_vectors_are_units_and_near_for_near_texts() -> None:
    embedding, tokens = distil(WORDS, encode), Tokens(WORDS)
    one, edit, other = (
        embedding.vector(tokens.ids(text))
        for text in (
            " ".join(f"word{i}" for i in range(100, 140)),
            " ".join(f"word{i}" for i in range(101, 141)),
            " ".join(f"word{i}" for i in range(900, 940)),
        )
    )
    assert one.shape == (DIMENSIONS,)
    assert np.linalg.norm(one) == pytest.approx(1, abs=1e-6)
    assert one @ edit > 0.9
    assert abs(one @ other) < 0.4


def test_a_common_word_weighs_less_than_a_rare_one() -> None:
    embedding, tokens = distil(WORDS, encode), Tokens(WORDS)
    rare, both = embedding.vector(tokens.ids("word2500")), embedding.vector(tokens.ids("the word2500"))
    assert rare @ both > embedding.vector(tokens.ids("the")) @ both


def test_no_tokens_give_no_direction() -> None:
    assert not distil(WORDS, encode).vector([]).any()


def test_sketches_estimate_the_jaccard_similarity() -> None:
    rng = np.random.default_rng(1)
    errors = []
    for _ in range(60):
        common, own = rng.integers(1, 80, 2)
        first = frozenset(f"c{i}-{rng.integers(1 << 40)}" for i in range(common))
        second = first | {f"o{i}-{rng.integers(1 << 40)}" for i in range(own)}
        errors.append(alike(sketch(first), sketch(second)) - len(first) / len(second))
    # Unbiased, with a standard error of at most 1/16 each: the mean of 60 is within 4 of its own.
    assert abs(np.mean(errors)) < 4 * 0.0625 / 60**0.5
    assert np.std(errors) < 1.5 * 0.0625


def test_a_sketch_tells_near_texts_of_any_language() -> None:
    one, near, far = (sketch(shingles(text)) for text in (BREAD, CHEESE, WEATHER))
    assert alike(one, near) > 0.4
    assert alike(one, far) < 0.1
    assert sketch(frozenset()).shape == (SKETCH,)
