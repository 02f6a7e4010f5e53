"""Evidence becomes a standing, standings become states, and each change is told once."""

import random
from itertools import count

from llmguard.risk.response import COOL_S
from llmguard.risk.sight import Sight
from llmguard.risk.standing import NORMAL, Standing, standing_of
from llmguard.risk.watch import Change, Watch
from llmguard.settings_policies import Policy, Prompts
from prompts.detector import Detector
from prompts.scorer import ids_of
from tests.prompts.sessions import HONEST
from tests.prompts.vocabulary import TEMPLATE_WORDS, tokens
from tests.risk.site import attack, corpus

NOW = 1_800_000_000.0
TOKENS = tokens(TEMPLATE_WORDS)


def watching(**prompts: object) -> Watch:
    """A watch under one policy."""
    ids = count()
    policies = {"public": Policy(prompts=Prompts.model_validate(prompts))}
    return Watch(Detector(TOKENS, prompts=4000), policies, lambda: f"alert_{next(ids)}")


def sight(text: str, key: str = "k", at: float = NOW, policy: str = "public") -> Sight:
    """A prompt."""
    return Sight(at, key, f"u-{key}", "acme", policy, f"ip-{key}", ids_of(text, TOKENS).tobytes())


def changes(watch: Watch, texts: list[str], key: str = "k") -> list[Change]:
    """What a stream of a second a prompt changes."""
    found = [watch.see(sight(text, key, NOW + place)) for place, text in enumerate(texts)]
    return [change for change in found if change is not None]


def test_a_stream_is_told_of_at_each_change_and_no_more() -> None:
    watch = watching()
    found = changes(watch, attack(150))
    told = [(alert.before, alert.state) for change in found for alert in change.alerts]
    assert told == [("normal", "throttled"), ("throttled", "challenged"), ("challenged", "blocked")]
    assert len({alert.id for change in found for alert in change.alerts}) == 3
    report = watch.report("k", NOW + 150)
    assert report is not None
    assert (report.state, report.prompts, report.strikes) == ("blocked", 150, 1)
    assert report.flagged_after_prompts is not None
    assert report.flagged_at == NOW + report.flagged_after_prompts - 1
    assert standing_of(found[-1].note).strikes == 1
    assert watch.states() == {"blocked": 1}


def test_honest_people_change_nothing() -> None:
    watch = watching()
    for kind in ("mixed", "chat", "support", "edits"):
        assert changes(watch, HONEST[kind](corpus(), random.Random(3), 150), kind) == []
    assert list(watch.cool(NOW + 10 * COOL_S)) == []


def test_time_alone_leads_back_and_is_told() -> None:
    watch = watching()
    changes(watch, attack(150))
    states = []
    for hours in range(1, 6):
        for change in watch.cool(NOW + 150 + hours * COOL_S):
            states += [alert.state for alert in change.alerts]
    assert states == ["challenged", "throttled", "normal"]
    report = watch.report("k", NOW + 6 * COOL_S)
    assert report is not None
    assert (report.flagged_at, report.log10_e, report.strikes) == (None, 0.0, 1)
    again = changes(watch, attack(90, seed=2))
    assert [alert.state for change in again for alert in change.alerts][:1] == ["throttled"]
    assert standing_of(again[-1].note).strikes == 2


def test_a_standing_of_before_is_taken_up() -> None:
    watch = watching()
    watch.meet(sight("hello"), Standing(heat=1.5, at=NOW, strikes=1))
    report = watch.report("k", NOW)
    assert report is not None
    assert report.state == "challenged"
    watch.adopt("k", NORMAL, NOW)
    assert watch.states() == {}
    watch.adopt("nobody", NORMAL, NOW)


def test_an_alpha_of_ones_own() -> None:
    strict, lenient = watching(alpha=1e-6), watching(alpha=0.5)
    stream = attack(90)
    changes(strict, stream)
    changes(lenient, stream)
    first, second = strict.report("k", NOW), lenient.report("k", NOW)
    assert first is not None
    assert second is not None
    assert (first.threshold_log10_e, round(second.threshold_log10_e, 3)) == (6.0, 0.301)
    assert (second.flagged_after_prompts or 99) < (first.flagged_after_prompts or 99)


def test_an_unknown_policy_is_watched_by_the_defaults() -> None:
    watch = watching()
    watch.see(sight("hello", policy="gone"))
    report = watch.report("k", NOW)
    assert report is not None
    assert report.threshold_log10_e == 3.0


def test_who_is_not_known_is_not_reported() -> None:
    watch = watching()
    watch.see(sight("hello there"))
    assert watch.knows("k")
    assert watch.report("nobody", NOW) is None
    assert watch.cluster("k", NOW) is None
    assert watch.pardon("nobody", NOW) is None
    assert watch.pin("nobody", "blocked", None, NOW) is None
