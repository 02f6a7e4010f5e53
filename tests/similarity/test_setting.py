"""The closed forms of the leak against simulation."""

import numpy as np
import pytest

from similarity.setting import Content, Disclosure, averaged, bound, told
from tests.similarity.made import directions

DIMENSIONS = 96


@pytest.mark.parametrize("scored", [12, 24, 48, 95])
def test_exact_scores_show_the_shadow_on_the_known_directions(scored: int) -> None:
    random = np.random.default_rng(scored)
    cosines = []
    for trial in range(60):
        anchors = directions(scored, DIMENSIONS, trial)
        hidden = random.standard_normal(DIMENSIONS)
        hidden /= np.linalg.norm(hidden)
        found = np.linalg.lstsq(anchors, anchors @ hidden, rcond=None)[0]
        cosines.append(float(found @ hidden / np.linalg.norm(found)))
    assert np.mean(np.square(cosines)) == pytest.approx(bound(scored, DIMENSIONS) ** 2, abs=0.03)
    assert np.mean(cosines) <= bound(scored, DIMENSIONS) + 0.01


@pytest.mark.parametrize(("scored", "noise"), [(24, 0.0), (96, 0.0), (96, 1.0), (400, 2.0)])
def test_averaging_gives_what_its_closed_form_says(scored: int, noise: float) -> None:
    random = np.random.default_rng(scored)
    cosines = []
    for trial in range(80):
        anchors = directions(scored, DIMENSIONS, 1000 + trial)
        hidden = random.standard_normal(DIMENSIONS)
        hidden /= np.linalg.norm(hidden)
        said = anchors @ hidden + noise * random.standard_normal(scored) / DIMENSIONS**0.5
        found = said @ anchors
        cosines.append(float(found @ hidden / np.linalg.norm(found)))
    assert np.mean(cosines) == pytest.approx(averaged(scored, DIMENSIONS, 1 / np.hypot(1, noise)), abs=0.03)


def test_past_the_dimensions_nothing_is_left_to_find() -> None:
    assert bound(500, 384) == 1.0
    assert bound(96, 384) == 0.5


def test_a_bucket_is_told_as_a_value_of_its_own() -> None:
    edges = (0.35, 0.5, 0.65, 0.8)
    assert [told(bucket, edges) for bucket in range(5)] == pytest.approx([0.175, 0.425, 0.575, 0.725, 0.9])
    low = (-0.5, 0.0, 0.5)
    assert [told(bucket, low) for bucket in range(4)] == sorted(told(bucket, low) for bucket in range(4))
    assert told(0, low) < -0.5


def test_a_hidden_store_tells_every_other_border() -> None:
    assert Disclosure().borders == Disclosure().edges
    assert Disclosure(content=Content.HIDDEN).borders == (0.35, 0.65)
    assert Disclosure(content=Content.HIDDEN, edges=(0.4,)).borders == (0.4,)
