"""The honest hit rates that are granted, calibrated on sessions.

Each rate is a multiple of the largest rate of any honest *session*, shrunk by 40 prompts of
none, and never below a floor that was set for kinds of sessions that were not seen: rates that
are pooled over prompts flag every second session about a single topic. Sessions: assistant and
banking questions of one intent, one domain and all; instructions; chats; user tasks.
"""

from prompts.evidence import Channel
from prompts.signals import affixes, spans

ALPHA = 1e-3

AFFIXES = (
    (0.95, 0.94, 0.14),
    (0.76, 0.58, 0.056),
    (0.54, 0.41, 0.037),
    (0.93, 0.77, 0.047),
    (0.50, 0.35, 0.020),
    (0.50, 0.46, 0.20),
    (0.50, 0.35, 0.025),
    (0.30, 0.15, 0.020),
)
"""For each of `affixes.TESTS`, by length."""

SPANS = (
    (0.65, 0.85, 0.25),
    (0.50, 0.50, 0.08),
    (0.20, 0.08, 0.02),
)
"""For each of `spans.TESTS`, by length."""


WEIGHTS = (0.04, 0.04, 0.04, 0.05, 0.05, 0.12, 0.05, 0.06)
"""For each of `affixes.TESTS`."""


def channels() -> tuple[Channel, ...]:
    """The channels of the detector in their order, with weights that sum to 1."""
    affix = zip(affixes.TESTS, WEIGHTS, AFFIXES, strict=True)
    return (
        *(Channel(f"affix_{bits}_{count}_{lag}", weight, rates) for (bits, count, lag), weight, rates in affix),
        *(
            Channel(f"span_{bits}_{count}", 0.15 / 3, rates)
            for (bits, count), rates in zip(spans.TESTS, SPANS, strict=True)
        ),
        Channel("novelty", 0.10, (0.55, 0.34, 0.18, 0.07)),
        Channel("brevity", 0.06, (0.24, 0.21)),
        Channel("brevity_new", 0.04, (0.10, 0.05)),
        Channel("chain_head", 0.04, (0.30,)),
        Channel("chain_star", 0.16, (0.90, 0.60, 0.36)),
    )
