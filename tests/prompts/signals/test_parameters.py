"""Fingerprints do not depend on order; sweeps are told from settings."""

from prompts.signals.parameters import fingerprint, sweep


def test_the_order_of_parameters_does_not_matter() -> None:
    assert fingerprint({"a": 1, "b": [2]}) == fingerprint({"b": [2], "a": 1})
    assert len({fingerprint({"a": i}) for i in range(100)}) == 100


def test_a_sweep_is_told_from_a_setting() -> None:
    assert sweep([i / 100 for i in range(30)]) < 1e-15
    assert sweep([0.7] * 20 + [0.2] * 10) > 0.9
    assert sweep([]) == sweep([1]) == 1.0
