"""The noise of a classifier's answers: uniform, layered, and the same every time."""

from itertools import count

import numpy as np
import pytest
from scipy import stats

from llmguard.outputs.noise import Noise, plain

KEY = b"k" * 32
PLACE = b"3,7,1"


def layered(text: str, what: bytes = b"3,7", place: bytes = PLACE, key: bytes = KEY) -> float:
    return Noise(key, text).layered(what, place)


def test_asking_again_tells_the_same_and_everything_else_something_else() -> None:
    told = layered("How do I pay?")
    assert layered("How do I pay?") == told
    others = [
        layered("how do I pay"),
        layered("How do I pray?"),
        layered("How do I pay?", b"3,8"),
        layered("How do I pay?", place=b"3,7,2"),
        layered("How do I pay?", key=b"l" * 32),
    ]
    assert len({told, *others}) == 6


def test_it_is_the_mean_of_three_uniform_numbers() -> None:
    """Irwin and Hall's distribution of three, moved to [-1, 1)."""
    drawn = [layered(f"text {number}", place=b"%d" % number) for number in range(4000)]
    # A sum of three uniform numbers has a quadratic B-spline for its density.
    spline = stats.rv_histogram(np.histogram(np.random.default_rng(1).random((2_000_000, 3)).mean(axis=1) * 2 - 1, 400))
    assert stats.kstest(drawn, spline.cdf).pvalue > 1e-3
    assert -1 <= min(drawn) < max(drawn) < 1


def correlation(first: list[float], second: list[float]) -> float:
    return float(np.corrcoef(first, second)[0, 1])


def test_other_spelling_keeps_two_thirds_and_another_text_with_that_answer_one() -> None:
    texts = [f"question {number}" for number in range(3000)]
    places = [b"%d" % number for number in range(3000)]
    own = [layered(text, place=place) for text, place in zip(texts, places, strict=True)]
    spelled = [layered(text.upper() + " ?!", place=place) for text, place in zip(texts, places, strict=True)]
    reworded = [layered("please: " + text, place=place) for text, place in zip(texts, places, strict=True)]
    foreign = [layered("please: " + text, place=place + b"x") for text, place in zip(texts, places, strict=True)]
    # Within four standard errors of a correlation from 3,000 pairs.
    assert correlation(own, spelled) == pytest.approx(2 / 3, abs=0.05)
    assert correlation(own, reworded) == pytest.approx(1 / 3, abs=0.07)
    assert correlation(own, foreign) == pytest.approx(0, abs=0.075)


def test_averaging_over_spellings_leaves_two_layers_and_over_paraphrases_one() -> None:
    """The mean over n of them has variance (2 + 1/n)/27, or (1 + 2/n)/27: it does not fall to 0."""
    many, size = 64, 500
    spelled = np.array([[layered(f"t {n}" + " " * k) for k in range(many)] for n in range(size)]).mean(axis=1)
    reworded = np.array([[layered(f"t {n} {k}", place=b"%d" % n) for k in range(many)] for n in range(size)]).mean(
        axis=1
    )
    assert spelled.var() == pytest.approx((1 + 1 / many) / 27, rel=0.25)  # one place for all of them
    assert reworded.var() == pytest.approx((1 + 2 / many) / 27, rel=0.25)


def test_letters_and_digits_are_the_same_by_either_way() -> None:
    text = "".join(map(chr, range(128))).replace("\\", "")
    assert plain(text) + "é".encode() == plain(text + "É!")
    assert plain("Stra\u00dfe  \uff21\uff22") == b"strasseab"


def test_a_unit_is_uniform_and_of_the_text_as_it_is() -> None:
    units = [Noise(KEY, f"text {number}").unit(b"keep") for number in range(4000)]
    assert stats.kstest(units, "uniform").pvalue > 1e-3
    texts = ("a", "A", "a ", "b")
    assert len({Noise(KEY, text).unit(purpose) for text in texts for purpose in (b"keep", b"other")}) == 8
    assert all(Noise(KEY, "\ud800").unit(b"keep") < 1 for _ in zip(range(1), count(), strict=False))
