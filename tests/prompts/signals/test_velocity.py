"""What counts as normal rises slowly, within bounds, and never falls."""

from hypothesis import given
from hypothesis import strategies as st

from prompts.signals.velocity import CEILING, RISE, Normal, after, ratio


@given(st.lists(st.floats(0, 1e9), max_size=200))
def test_no_spending_trains_it_beyond_its_bounds(spends: list[float]) -> None:
    normal = Normal(100.0, 100.0)
    for spent in spends:
        raised = after(normal, spent)
        assert normal.now <= raised.now <= normal.now * RISE * (1 + 1e-12)
        assert raised.now <= CEILING * 100 * (1 + 1e-12)
        normal = raised


def test_a_jump_is_a_ratio() -> None:
    assert ratio(Normal(100.0, 100.0), 500.0) == 5.0
    assert ratio(Normal(0.0, 0.0), 5.0) == 0.0
    assert after(Normal(100.0, 100.0), 105.0).now == 105.0
