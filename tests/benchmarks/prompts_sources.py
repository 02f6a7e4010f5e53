"""Honest sessions of a source of texts that the rates were calibrated without: a flag is a failure.

Each session is scored once. Its events are then judged by rates that `calibrated` makes of the
sessions in which nothing of that source stands.
"""

import random
import time
from collections.abc import Mapping, Sequence
from math import log10

from prompts.calibration import ALPHA, calibrated, channels
from prompts.evidence import Channels, Evidence
from prompts.scorer import Scorer
from prompts.tokens import Tokens
from prompts.window import Window
from tests.benchmarks.prompts import DATA, HORIZON, given, interval
from tests.benchmarks.report import Report, Row
from tests.prompts.corpora import Corpus
from tests.prompts.sessions import HONEST, Session

ASSISTANT = ("assistant", "assistant, one topic", "assistant, one domain", "classroom")
SUPPORT = ("support", "support, one topic", "support, one domain", "other alphabet")
TALK = tuple(kind for kind in HONEST if kind not in {*ASSISTANT, *SUPPORT})
SOURCES: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "an assistant's questions": (ASSISTANT, (*SUPPORT, *TALK)),
    "a support desk's questions": (SUPPORT, (*ASSISTANT, *TALK)),
    "chats, tasks and dialogues": (TALK, (*(kind for kind in ASSISTANT if kind != "classroom"), *SUPPORT)),
}
"""The kinds of sessions made of each source, and those with nothing of it."""

MOST = 1000
"""Sessions of a kind: 3,700 of a source without a flag bound the share by 0.1 %, with 95 % confidence."""

Events = Sequence[Sequence[int]]


def scored(make: Session, corpus: Corpus, tokens: Tokens, of: Channels, seed: int) -> Events:
    """The events of each scored prompt of one session."""
    scorer = Scorer(tokens, of)
    window = Window(HORIZON, scorer.hashes)
    found = []
    for text in make(corpus, random.Random(seed), HORIZON):
        said = scorer.read(text)
        taken = scorer.take(window, said) if said is not None else None
        if taken is not None:
            found.append(taken.events)
    return found


def flagged(session: Events, of: Channels) -> bool:
    """Whether the process ever reaches 1/alpha under these channels."""
    evidence = Evidence(of)
    for events in session:
        evidence.update(events, log10(1 / ALPHA))
    return evidence.flagged_after is not None


def run(seconds: int) -> list[Report]:
    """The benchmark; on the public data only."""
    found = given()
    if found is None or not DATA.is_dir():
        return [Report("prompts_sources", missing={"sources left out": "needs the public data and a vocabulary"})]
    of = Channels(channels())
    sessions: dict[str, list[Events]] = {kind: [] for kind in HONEST}
    for kind, make in HONEST.items():
        until = time.monotonic() + seconds
        while len(sessions[kind]) < MOST and (len(sessions[kind]) < 5 or time.monotonic() < until):
            sessions[kind].append(scored(make, *found, of, 7000 + len(sessions[kind])))
    rows = [_row(source, *kinds, sessions, of) for source, kinds in SOURCES.items()]
    return [Report("prompts: honest sessions of a source that was left out of calibration", rows)]


def _row(
    source: str, judged: Sequence[str], kept: Sequence[str], sessions: Mapping[str, Sequence[Events]], of: Channels
) -> Row:
    granted = calibrated(of, [[code for events in one for code in events] for kind in kept for one in sessions[kind]])
    found = [flagged(one, granted) for kind in judged for one in sessions[kind]]
    alarms = sum(found)
    upper = interval(alarms, len(found))[1]
    return {"target": source, "sessions": len(found), "flagged": alarms, "percent_at_most": 100 * upper}
