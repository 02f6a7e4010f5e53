"""The vectors of every model under every setting."""

import numpy as np
import pytest

from llmguard.outputs.embeddings.reductions import Reductions, digest
from llmguard.settings_embeddings import Reduced

GRANT = Reduced(reason="for a test", dimensions=64)
ROWS = np.random.default_rng(1).standard_normal((3, 384)).tolist()
TEXTS = ["a", "b", "c"]


def test_fewer_numbers_are_the_first_of_the_same_vector() -> None:
    tell = Reductions(b"k" * 32)
    told = np.array(tell(GRANT, "m", "acme", TEXTS, ROWS))
    fewer = np.array(tell(GRANT, "m", "acme", TEXTS, ROWS, 20))
    assert (told.shape, fewer.shape) == ((3, 64), (3, 20))
    np.testing.assert_allclose(fewer, told[:, :20] / np.linalg.norm(told[:, :20], axis=1, keepdims=True), atol=1e-6)


def test_models_of_other_sizes_and_grants_stand_side_by_side() -> None:
    tell = Reductions(b"k" * 32)
    short = [row[:16] for row in ROWS]
    assert np.array(tell(GRANT, "m", "acme", TEXTS, short)).shape == (3, 16)
    assert np.array(tell(GRANT, "m", "acme", TEXTS, ROWS)).shape == (3, 64)
    assert tell.reduction(GRANT, "m", 16) is tell.reduction(GRANT, "m", 16)
    assert tell.reduction(GRANT, "m", 16) is not tell.reduction(GRANT, "n", 16)


@pytest.mark.parametrize("rows", [[[1.0], [1.0, 2.0]], [["1.0x"]]])
def test_what_are_no_vectors_is_refused(rows: list[list[float]]) -> None:
    with pytest.raises(ValueError, match=r"sequence|convert"):
        Reductions(b"k" * 32)(GRANT, "m", "acme", TEXTS[: len(rows)], rows)


def test_case_spaces_and_signs_make_no_other_text() -> None:
    same = ["Hello, world", "hello world!", "HELLO\n\tWORLD", "“hello” (world)"]
    assert len({digest(text) for text in same}) == 1
    assert len({digest(text) for text in ("hello", "help", "", "!", "?", "🙂", "ж")}) == 7
