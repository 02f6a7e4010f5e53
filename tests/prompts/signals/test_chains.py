"""Going back to the seed hits; going on from the last version does not."""

import pytest

from prompts.signals.chains import back_to_head, has_kin, scattered, star
from prompts.window import Chain, Joined

CHAIN = Chain(0, 5, frozenset(), frozenset())


@pytest.mark.parametrize(
    ("place", "to_head", "to_previous", "expected"),
    [(1, 1.0, 1.0, False), (2, 0.9, 0.9, False), (3, 0.9, 0.8, True), (3, 0.8, 0.8, True), (3, 0.7, 0.9, False)],
)
def test_an_edit_that_goes_back_to_its_seed_hits(
    place: int, to_head: float, to_previous: float, expected: bool
) -> None:
    assert back_to_head(Joined(CHAIN, place, to_head, to_previous, (), 0)) is expected


@pytest.mark.parametrize(
    ("kin", "scored", "expected"),
    [((0.9,), False, None), ((0.9, 0.8), True, False), ((0.8, 0.8), True, False), ((0.6, 0.5, 0.7), True, True)],
)
def test_kin_hit_where_the_latest_is_not_the_closest(
    kin: tuple[float, ...], scored: bool, expected: bool | None
) -> None:
    joined = Joined(CHAIN, 1, 1.0, 1.0, kin, 0)
    assert has_kin(joined) is scored
    if scored:
        assert scattered(joined) is expected


@pytest.mark.parametrize(("kin", "expected"), [(0, False), (1, False), (2, True), (8, True)])
def test_a_star_takes_two_kin(kin: int, expected: bool) -> None:
    assert star(Joined(CHAIN, 1, 1.0, 1.0, (0.9,) * kin, kin)) is expected
