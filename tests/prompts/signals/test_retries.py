"""Returns at once or to the dot are told from patience."""

import numpy as np

from prompts.signals.retries import eager, p_value


def test_who_comes_back_to_the_dot_is_told() -> None:
    assert p_value([(10.0, 10.01)] * 20) < 1e-5
    assert p_value([(10.0, 0.1)] * 20) < 1e-5
    assert eager([(10.0, 10.1), (10.0, 15.0), (10.0, 1.0)]) == 2


def test_who_waits_with_jitter_is_not() -> None:
    rng = np.random.default_rng(21)
    assert p_value([(10.0, 10 * float(1 + rng.exponential(0.5))) for _ in range(50)]) > 0.5
    assert p_value([]) == 1.0
