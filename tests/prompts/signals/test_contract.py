"""Probes are named; ordinary requests show none."""

from prompts.signals.contract import BIASED, Asked, probes

PLAIN = Asked(frozenset(), False, 256)


def test_ordinary_requests_show_nothing() -> None:
    assert probes([]) == ()
    assert probes([PLAIN, Asked(frozenset({5}), False, None), Asked(frozenset(), True, 1)] * 9) == ()


def test_each_probe_is_named() -> None:
    assert probes([PLAIN, Asked(frozenset({1}), True, 5)]) == ("bias_and_logprobs",)
    assert probes([Asked(frozenset({i}), False, 5) for i in range(BIASED + 1)]) == ("biased_tokens",)
    assert probes([Asked(frozenset(), True, 1)] * 20 + [PLAIN] * 2) == ("single_tokens",)
    assert probes([Asked(frozenset(), False, 9, True)] * 20) == ("token_ids",)
