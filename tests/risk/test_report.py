"""A user's report is that of its worst key."""

from llmguard.risk.report import Report, together

CALM = Report(scope="key", id="a", prompts=5, log10_e=2.0, last_seen_at=9.0)
HOT = Report(scope="key", id="b", prompts=7, state="challenged", log10_e=1.0, flagged_at=3.0, last_seen_at=4.0)


def test_the_worst_key_speaks_for_all() -> None:
    both = together("user", "ana", [CALM, HOT], 3.0)
    assert (both.scope, both.id, both.state, both.prompts) == ("user", "ana", "challenged", 12)
    assert (both.members, both.last_seen_at, both.flagged_at) == (("a", "b"), 9.0, 3.0)


def test_nobody_is_normal() -> None:
    none = together("tenant", "acme", [], 2.0)
    assert (none.state, none.prompts, none.threshold_log10_e, none.last_seen_at) == ("normal", 0, 2.0, None)
