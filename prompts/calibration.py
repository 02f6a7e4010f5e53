"""The honest hit rates that are granted, calibrated on sessions.

Each rate is a multiple of the largest rate of any honest *session*, shrunk by 40 prompts of
none, and never below a floor that is set for kinds of sessions that were not seen: rates that
are pooled over prompts flag every second session about a single topic. The table was calibrated
on assistant and banking questions of one intent, one domain and all; instructions; chats; user
tasks; and revisions, bursts and greetings made of them. What is scored in clusters alone, `shared`,
has floors above what twenty honest keys of one kind or one topic show that are taken for one.
"""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from prompts.evidence import Channel, Channels
from prompts.signals import affixes, spans

ALPHA = 1e-3
SHRUNK = 40
"""Prompts of none that a session's rate is shrunk by."""

HIGHEST = 0.95

AFFIXES = (
    (HIGHEST, 0.94, 0.155),
    (HIGHEST, 0.58, 0.07),
    (HIGHEST, 0.50, 0.07),
    (HIGHEST, 0.77, 0.047),
    (HIGHEST, 0.50, 0.020),
    (HIGHEST, 0.46, 0.20),
    (HIGHEST, 0.35, 0.025),
    (HIGHEST, 0.15, 0.020),
)
"""For each of `affixes.TESTS`, by length."""

SPANS = (
    (HIGHEST, 0.95, 0.25),
    (HIGHEST, 0.50, 0.08),
    (HIGHEST, 0.08, 0.02),
)
"""For each of `spans.TESTS`, by length."""

WEIGHTS = (0.03, 0.03, 0.03, 0.03, 0.03, 0.14, 0.04, 0.03)
"""For each of `affixes.TESTS`."""

FLOORS = {
    "affix": (HIGHEST, 0.15, 0.02),
    "affix_25_6_0": (HIGHEST, 0.50, 0.15),
    "affix_25_12_0": (HIGHEST, 0.50, 0.02),
    "affix_30_12_0": (HIGHEST, 0.50, 0.02),
    "affix_40_3_20": (HIGHEST, 0.50, 0.02),
    "affix_40_12_0": (HIGHEST, 0.50, 0.02),
    "affix_60_3_0": (HIGHEST, 0.15, 0.20),
    "span": (HIGHEST, 0.08, 0.02),
    "span_40_6": (HIGHEST, 0.50, 0.25),
    "novelty": (0.55, 0.30, 0.15, 0.06),
    "brevity": (0.20, 0.20),
    "brevity_new": (0.05, 0.05),
    "chain_head": (0.30,),
    "chain_star": (0.40, 0.30, 0.26),
    "kin": (0.85, 0.60, 0.30),
    "shared": (0.15, 0.08, 0.04),
}
"""The least that is granted, by the name of a channel or its beginning.

What three to six chains can raise has a high one: a dozen prompts of one form in a row are a habit. Under 12 tokens the
words that people share are no evidence: a question of that length about one topic has no room for a template beside
what it asks ("add … to my playlist"). Up to 23 tokens fewer than 60 bits are little: a few of a topic's own words.
"""

MARGINS = {"affix": (2.5, 2.5, 1.5), "span": (2.5, 2.5, 1.5)}
"""The multiples of a session's rate, by length, where it is not MARGIN: topics differ most in short prompts."""

MARGIN = 1.5


def channels() -> tuple[Channel, ...]:
    """The channels of the detector in their order, with weights that sum to 1."""
    affix = zip(affixes.TESTS, WEIGHTS, AFFIXES, strict=True)
    return (
        *(Channel(f"affix_{bits}_{count}_{lag}", weight, rates) for (bits, count, lag), weight, rates in affix),
        *(
            Channel(f"span_{bits}_{count}", 0.04, rates)
            for (bits, count), rates in zip(spans.TESTS, SPANS, strict=True)
        ),
        Channel("novelty", 0.07, (0.55, 0.36, 0.18, 0.10)),
        Channel("brevity", 0.02, (0.26, 0.21)),
        Channel("brevity_new", 0.03, (0.10, 0.05)),
        Channel("chain_head", 0.03, (0.30,)),
        Channel("chain_star", 0.31, (0.40, 0.30, 0.26)),
        Channel("kin", 0.02, (0.90, 0.64, 0.36)),
        Channel("shared", 0.04, (0.15, 0.08, 0.04)),
    )


def calibrated(of: Channels, sessions: Iterable[Sequence[int]]) -> Channels:
    """The same channels with rates from honest sessions: the codes of all events of each."""
    largest = np.zeros(of.size)
    for events in sessions:
        counts: NDArray[np.int64] = np.bincount(np.asarray(events, np.int64), minlength=2 * of.size)
        hits, misses = counts[of.size :], counts[: of.size]
        largest = np.maximum(largest, hits / (hits + misses + SHRUNK))
    found = []
    for channel, start in zip(of.channels, of.offsets, strict=False):
        family = channel.name.split("_")[0]
        margins = MARGINS.get(family, (MARGIN,) * len(channel.rates))
        floors = FLOORS.get(channel.name) or FLOORS[family]
        rates = tuple(
            min(HIGHEST, max(floor, margin * float(rate)))
            for floor, margin, rate in zip(floors, margins, largest[start:], strict=False)
        )
        found.append(Channel(channel.name, channel.weight, rates))
    return Channels(found)
