"""Numbers of a key: what they are distributed like, and what they hang on."""

import numpy as np
import pytest
from scipy import stats

from llmguard.outputs.embeddings import keystream
from llmguard.outputs.embeddings.keystream import normal, normals, signs, stream, subkey

KEY, OTHER = b"k" * 32, b"o" * 32
COUNT = 100_000


def test_numbers_are_standard_normal_and_independent() -> None:
    drawn = normal(KEY, b"label", COUNT)
    assert drawn.dtype == np.float32
    assert stats.kstest(drawn, "norm").pvalue > 0.001
    for lag in (1, 2, COUNT // 2):  # halves come of the same uniform numbers
        assert abs(float(np.corrcoef(drawn[:-lag], drawn[lag:])[0, 1])) < 4 / np.sqrt(COUNT // 2)


def test_the_extremes_are_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    low, high = bytes(4), b"\xff" * 4
    monkeypatch.setattr(keystream, "stream", lambda key, label, size: low + high + low + high)
    found = normals([(KEY, b"a")], 4)
    assert np.isfinite(found).all()
    assert np.abs(found).max() == pytest.approx(6.76, abs=0.01)


def test_a_row_is_the_same_in_any_company() -> None:
    places = [(KEY, b"a"), (OTHER, b"b"), (KEY, b"c")]
    for count in (7, 384):
        rows = normals(places, count)
        for row, place in zip(rows, places, strict=True):
            np.testing.assert_allclose(row, normal(*place, count), rtol=1e-6)


def test_each_key_and_label_has_its_own_and_always_the_same() -> None:
    places = [(KEY, b""), (KEY, b"a"), (KEY, b"a\0"), (OTHER, b"a"), (OTHER, b"")]
    found = [normal(key, label, 512) for key, label in places]
    for place, one in zip(places, found, strict=True):
        np.testing.assert_array_equal(one, normal(*place, 512))
    assert np.abs(np.corrcoef(found) - np.eye(len(found))).max() < 0.25


def test_the_key_and_the_label_do_not_run_together() -> None:
    assert stream(KEY, b"ab", 32) != stream(KEY[:-1] + b"a", b"b", 32)
    assert len({subkey(KEY, *parts) for parts in ((b"ab",), (b"a", b"b"), (b"", b"ab"), (b"ab", b""), ())}) == 5


@pytest.mark.parametrize("count", [1, 7, 8, 383])
def test_any_count(count: int) -> None:
    assert normal(KEY, b"a", count).shape == (count,)
    assert signs(KEY, b"a", count).shape == (count,)


def test_signs_are_fair() -> None:
    drawn = signs(KEY, b"label", COUNT)
    assert set(np.unique(drawn)) == {-1, 1}
    assert abs(float(drawn.mean())) < 4 / np.sqrt(COUNT)
