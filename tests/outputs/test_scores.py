"""What is told of scores: one shape, and no more than the level says."""

from math import exp, log

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmguard.outputs.noise import Noise
from llmguard.outputs.scores import EDGES, STEPS, Reduction, Told, told

LEVELS = ("label", "bucket", "rounded", "full")
NOISE = Noise(b"k" * 32, "a text")
PROBS = [0.02, 0.68, 0.25, 0.05]

rows = st.lists(st.floats(0, 1), min_size=2, max_size=40).filter(lambda row: max(row) > 1e-3)
ways = st.builds(
    Reduction,
    st.sampled_from(LEVELS),
    st.none() | st.integers(1, 50),
    st.sampled_from([0.0, 0.5, 3.0]),
)


def noises(count: int) -> list[Noise]:
    return [Noise(b"k" * 32, f"text {number}") for number in range(count)]


@given(rows, ways, st.text(max_size=20))
def test_the_shape_is_the_same_whatever_the_level_and_the_input(row: list[float], how: Reduction, text: str) -> None:
    row = [value / sum(row) for value in row]
    found = told(row, how, Noise(b"k" * 32, text))
    assert len(found.probs) == len(row)
    assert all(type(value) is float and 0 <= value <= 1 for value in found.probs)
    assert sum(found.probs) == pytest.approx(1, abs=1e-6)
    assert found.probs[found.label] == max(found.probs)


@given(rows, st.sampled_from(LEVELS), st.integers(1, 50), st.text(max_size=20))
def test_without_smoothing_the_label_is_the_models_own(row: list[float], level: str, top: int, text: str) -> None:
    found = told(row, Reduction(level, top), Noise(b"k" * 32, text))  # type: ignore[arg-type]
    assert row[found.label] == max(row)


def test_a_label_is_one_hot_whatever_stands_behind_it() -> None:
    sure, unsure = [0.0, 1.0, 0.0], [0.33, 0.34, 0.33]
    assert told(sure, Reduction("label"), NOISE) == told(unsure, Reduction("label"), NOISE) == Told(1, [0.0, 1.0, 0.0])


def test_full_scores_are_as_they_were_or_cut_and_made_whole() -> None:
    assert told(PROBS, Reduction("full"), NOISE).probs == PROBS
    assert told(PROBS, Reduction("full", 2), NOISE).probs == pytest.approx([0, 0.68 / 0.93, 0.25 / 0.93, 0])


@pytest.mark.parametrize("level", ["bucket", "rounded"])
def test_few_answers_are_possible_however_many_the_inputs_are(level: str) -> None:
    random = np.random.default_rng(2)
    seen = set()
    for noise in noises(1500):
        found = told(random.dirichlet([0.4] * 3).tolist(), Reduction(level), noise)  # type: ignore[arg-type]
        seen.add((found.label, *(round(value, 9) for value in found.probs)))
    # Three labels in three steps; or the ways to share ten tenths among three, twice where they tie.
    assert len(seen) <= (9 if level == "bucket" else 66 + 3 * 15)


def test_a_bucket_is_that_of_the_leading_class_with_its_dither() -> None:
    for share in (0.36, 0.7, 0.97):
        rest = (1 - share) / 2
        steps = {told([rest, share, rest], Reduction("bucket"), noise).probs[1] for noise in noises(300)}
        # At most DITHER nats between the two likeliest, half for each.
        reach = [share * exp(move) / (share * exp(move) + rest * exp(-move) + rest) for move in (-0.5, 0, 0.5)]
        allowed = {STEPS[sum(value >= edge for edge in EDGES)] for value in reach}
        assert STEPS[sum(share >= edge for edge in EDGES)] in steps
        assert steps <= allowed


def test_no_edge_is_found_exactly() -> None:
    """Near an edge some texts stand on either side of it: a search for the place where it changes finds many."""
    for share in (0.47, 0.53):
        steps = [told([share, 1 - share - 0.05, 0.05], Reduction("bucket"), noise).probs[0] for noise in noises(200)]
        assert len(set(steps)) == 2


def test_tenths_are_the_largest_remainders() -> None:
    still = Noise(b"k" * 32, "t")
    found = told([0.999, 0.0005, 0.0005], Reduction("rounded"), still)
    assert found.probs == [1.0, 0.0, 0.0]
    even = told([1 / 150] * 150, Reduction("rounded"), still).probs
    assert sorted(even)[-10:] == [0.1] * 10


@pytest.mark.parametrize("level", ["label", "rounded", "full"])
def test_of_two_that_noise_makes_equal_the_label_is_the_one_that_is_told(level: str) -> None:
    class Halving(Noise):
        def layered(self, what: bytes, place: bytes) -> float:
            return log(2)  # e^(-2·ln 2 / 2): 0.8 is halved and 0.2 doubled, to the bit

    found = told([0.2, 0.8], Reduction(level, 1, smoothing=2.0), Halving(b"k", "t"))  # type: ignore[arg-type]
    assert found == Told(0, [1.0, 0.0])


@pytest.mark.parametrize("smoothing", [0.5, 2.0])
def test_smoothing_moves_labels_near_a_boundary_and_no_other(smoothing: float) -> None:
    def share_moved(apart: float) -> float:
        odds = exp(apart)
        row = [odds / (1 + odds), 1 / (1 + odds)]
        moved = [told(row, Reduction("label", smoothing=smoothing), noise).label != 0 for noise in noises(400)]
        return sum(moved) / len(moved)

    assert share_moved(1.01 * smoothing) == 0
    assert 0 < share_moved(0.25 * smoothing) < 0.5
    assert share_moved(1e-6) == pytest.approx(0.5, abs=0.15)


def test_a_private_label_is_any_and_the_same_when_asked_again() -> None:
    how = Reduction("label", epsilon=1.0)
    labels = [told(PROBS, how, noise).label for noise in noises(4000)]
    assert labels == [told(PROBS, how, noise).label for noise in noises(4000)]
    kept = exp(1) / (exp(1) + 3)
    assert labels.count(1) / 4000 == pytest.approx(kept, abs=4 * (kept * (1 - kept) / 4000) ** 0.5)
    assert set(labels) == {0, 1, 2, 3}


@pytest.mark.parametrize("prob", [0.0, 0.2, 0.8, 1.0])
def test_one_probability_is_that_of_yes(prob: float) -> None:
    assert told([prob], Reduction("label"), NOISE) == Told(0, [float(prob > 0.5)])
    assert told([prob], Reduction("full"), NOISE).probs == [prob]
    assert told([prob], Reduction("bucket"), NOISE).probs[0] in {step for one in STEPS[1:] for step in (one, 1 - one)}
    assert len(told([prob], Reduction("rounded"), NOISE).probs) == 1


@pytest.mark.parametrize("row", [[], [-0.1, 1.1], [2.0, 1.0], [0.0, 0.0], [3.2, -1.0]])
def test_what_are_no_probabilities_is_refused_at_every_level(row: list[float]) -> None:
    for level in LEVELS:
        with pytest.raises(ValueError, match="not a list of probabilities"):
            told(row, Reduction(level), NOISE)  # type: ignore[arg-type]


def test_sigmoids_of_many_labels_are_told_as_their_likeliest() -> None:
    assert told([0.9, 0.8, 0.1], Reduction("label"), NOISE) == Told(0, [1.0, 0.0, 0.0])
    rounded = told([0.9, 0.8, 0.1], Reduction("rounded"), NOISE).probs
    assert sum(rounded) == pytest.approx(1)


def test_noise_of_paraphrases_leaves_a_bias_that_no_average_removes() -> None:
    """The mean of many spellings' shares stays away from the truth by the two layers that they have in common."""
    row = [0.6, 0.4]
    how = Reduction("full", smoothing=2.0)
    means = []
    for number in range(150):
        spellings = [told(row, how, Noise(b"k" * 32, f"text {number}" + " " * k)).probs for k in range(30)]
        means.append(np.mean([log(one[0] / one[1]) for one in spellings]) - log(1.5))
    plain = np.std(means)
    assert plain > 0.25  # 2 * sqrt(1/27) = 0.38 of the second layer, and the third is one offset for all
