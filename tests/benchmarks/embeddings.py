"""Reduced vectors: what they cost, and what attackers and honest searches make of them with all-MiniLM-L6-v2.

The attacker knows the true vectors of 2,000 questions of banking77 and 5,000 of CLINC150, asks the guard for them, and
fits a map back. It is tested on 1,080 other questions of banking77, of which it also holds the texts, among 3,080 much
like them. `cosine_centred` counts only what is told beyond the mean of all questions, which anybody may guess.
"""

import time
from collections.abc import Callable, Sequence
from math import sqrt
from statistics import median
from typing import Any

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import Ridge

from llmguard.outputs.embeddings.evidence import findings, suspect
from llmguard.outputs.embeddings.reduction import Reduction
from llmguard.outputs.embeddings.reductions import Reductions, digest
from llmguard.settings_embeddings import Reduced
from similarity.vectors import Vectors, unit
from tests.attacks.inversion import Doubles, cosines, fitted, interval, overlaps, recognised
from tests.benchmarks.report import Report, Row
from tests.benchmarks.texts import Absent, Model, banking, clinc

KEY, SIZE = b"k" * 32, 384
MOST_US, ROUNDS, TIMES = 60.0, 21, 100
KNOWN, FOREIGN, NEIGHBOURS, TENANTS = 2000, 5000, 8, 8
STRENGTH = 0.01
TRAINED, ASKED = 3500, 1500
DECOYS = [f"/{number}" for number in range(19)]
DISTORTIONS = {1: 0.3634, 4: 0.01154, 8: 0.0001}
GRANTS: tuple[dict[str, Any], ...] = (
    {"dimensions": 384, "noise": 0.005},
    {"dimensions": 384, "noise": 0.02},
    {"dimensions": 384, "noise": 0.05},
    {"dimensions": 384, "noise": 0.02, "bits": 1},
    {},
    {"bits": 4},
    {"dimensions": 128, "noise": 0.05, "bits": 4},
)


def run() -> list[Report]:
    """The benchmark."""
    return [cost(), attacks(), proofs()]


def granted(**more: Any) -> Reduced:
    """A grant."""
    return Reduced(reason="to be measured", **more)


def cost() -> Report:
    """CPU time of one vector of 384 numbers, by itself and among 64."""
    rows = unit(np.random.default_rng(1).standard_normal((64, SIZE)))
    said = [f"a text of some words, number {number}" for number in range(64)]
    texts = [digest(text) for text in said]
    whole = granted(dimensions=SIZE)
    by = Reduction(KEY, "m", SIZE, whole)
    tell = Reductions(KEY)
    lists = rows.tolist()
    cells, _ = by.common(rows)
    own = by.own("acme")

    def layers(at: int) -> None:
        by._noise((KEY, cells[at : at + 1]), (own.by_cell, cells[at : at + 1]), (own.by_text, texts[at : at + 1]))

    found: list[Row] = [
        {"target": "noise, three layers of 384 numbers", **microseconds(layers)},
        {"target": "reduction of one", **microseconds(lambda at: by("acme", texts[at : at + 1], rows[at : at + 1]))},
        {"target": "reduction among 64", **microseconds(lambda at: by("acme", texts, rows), vectors=64, times=5)},
        {
            "target": "the same, from text and lists to lists",
            **microseconds(lambda at: tell(whole, "m", "acme", said, lists), vectors=64, times=5),
        },
    ]
    slow = [f"{row['target']}: {row['us']:.0f} µs" for row in found[:1] if float(str(row["us"])) > MOST_US]
    return Report("embeddings: CPU time a vector of 384 numbers", found, failures=slow)


def microseconds(step: Callable[[int], object], *, vectors: int = 1, times: int = TIMES) -> dict[str, float]:
    """CPU time a vector: the median round and the slowest but one."""
    rounds = []
    for _ in range(ROUNDS):
        start = time.process_time()
        for number in range(times):
            step(number % 64)
        rounds.append((time.process_time() - start) / times / vectors * 1e6)
    rounds.sort()
    return {"us": median(rounds), "slow_round_us": rounds[-2]}


def attacks() -> Report:
    """What a map from pairs recovers, alone, corrected by neighbours, and for tenants together; and overlap@10."""
    title = "embeddings: recovery from reduced vectors (95 % intervals over texts), and overlap@10 of an honest search"
    try:
        model, bank, other = Model(), banking(), clinc(money=True)
        own, foreign = model(bank.texts), model(other.texts[:FOREIGN])
    except Absent as absent:
        return Report(title, missing={"embeddings": str(absent)})
    texts = [digest(text) for text in (*bank.texts, *other.texts[:FOREIGN])]
    rows = [bare(own), *(attacked(grant, texts, own, foreign) for grant in GRANTS)]
    failures = [
        f"{row['target']}: {row['noise_alone']:.3f}, foretold {row['foretold']:.3f}"
        for row in rows[1:]
        if abs(float(str(row["noise_alone"])) - float(str(row["foretold"]))) > 0.02
    ]
    return Report(title, rows, failures=failures)


def bare(own: Vectors) -> Row:
    """The upstream's own answers."""
    whole = np.ones(1)
    return row("bare upstream", own.astype(np.float64), own, {"foretold": 1.0, "noise_alone": 1.0}, None, whole)


def attacked(grant: dict[str, Any], texts: Sequence[bytes], own: Vectors, foreign: Vectors) -> Row:
    """The figures of one grant."""
    setting = granted(**grant)
    by = Reduction(KEY, "m", SIZE, setting)
    everything = np.vstack([own, foreign])
    told = by("t0", texts, everything).astype(np.float64)
    pairs = np.r_[0:KNOWN, len(own) : len(everything)]
    truth = everything[pairs]
    back = fitted(told[pairs], truth, STRENGTH)
    found = told[KNOWN : len(own)] @ back
    corrected = found + near(told[pairs], truth - told[pairs] @ back, told[KNOWN : len(own)])
    each = []
    for number in range(TENANTS):
        theirs = by(f"t{number}", texts, everything).astype(np.float64)
        each.append(theirs[KNOWN : len(own)] @ fitted(theirs[pairs], truth, STRENGTH))
    together: Doubles = np.mean(each, axis=0)
    undone = by._axes.back(by.own("t0").rotation.back(told.astype(np.float32)))
    alone = cosines(undone, unit(own_part(everything, setting)))
    figures = {"foretold": foretold(setting), "noise_alone": float(alone.mean())}
    name = f"{setting.dimensions} numbers, {setting.bits} bits, noise {setting.noise:g}"
    kept = overlaps(own, told[: len(own)], KNOWN)
    return row(name, np.vstack([own[:KNOWN], found]), own, figures, (corrected, together), kept)


def own_part(vectors: Vectors, setting: Reduced) -> Vectors:
    """The numbers that are told of a vector."""
    return np.ascontiguousarray(vectors[:, : setting.dimensions])


def foretold(setting: Reduced) -> float:
    """The cosine of a told vector to those numbers of the true one, both turns undone: by noise and levels alone."""
    half = setting.dimensions * setting.noise**2 / 2
    kept = 1 - DISTORTIONS[setting.bits]
    return sqrt(kept / (1 + half)) / sqrt(1 + half / kept)


def near(known: Doubles, errors: Doubles, asked: Doubles) -> Doubles:
    """The mean error of the nearest known texts: what a cell's noise gives away to who knows others in it."""
    places = np.argsort(-(unit(asked) @ unit(known).T), axis=1)[:, :NEIGHBOURS]
    found: Doubles = errors[places].mean(axis=1)
    return found


def row(
    name: str,
    found: Doubles,
    own: Vectors,
    figures: dict[str, float],
    more: tuple[Doubles, Doubles] | None,
    kept: Doubles,
) -> Row:
    """A row of the table; `found` are estimates of all of `own`, those that the attacker knew among them."""
    secret, truth = found[KNOWN:], own[KNOWN:]
    mean = own.mean(axis=0)
    cosine = cosines(secret, truth)
    low, high = interval(cosine)
    names = recognised(secret, own, range(KNOWN, len(own)))
    first, last = interval(names)
    corrected, together = more or (secret, secret)
    return {
        "target": name,
        **figures,
        "cosine": float(cosine.mean()),
        "low": low,
        "high": high,
        "cosine_centred": float(cosines(secret - mean, truth - mean).mean()),
        "with_neighbours": float(cosines(corrected, truth).mean()),
        f"{TENANTS}_tenants": float(cosines(together, truth).mean()),
        "recognised": float(names.mean()),
        "recognised_low": first,
        "recognised_high": last,
        "overlap@10": float(kept.mean()),
    }


def proofs() -> Report:
    """Log10 of p for the tenant whose vectors a bag-of-words model was trained on, behind a thief's linear map."""
    title = "embeddings: a model trained on a tenant's vectors, and the same trained on the true ones"
    try:
        model, bank, other = Model(), banking(), clinc(money=True)
    except Absent as absent:
        return Report(title, missing={"embeddings": str(absent)})
    random = np.random.default_rng(0)
    everything = [*bank.texts, *other.texts[:FOREIGN]]
    said = [everything[at] for at in random.permutation(len(everything))[: TRAINED + ASKED]]
    true, texts = model(said), [digest(text) for text in said]
    by = Reduction(KEY, "m", SIZE, granted())
    words = TfidfVectorizer(sublinear_tf=True, min_df=2).fit_transform(said)
    rows: list[Row] = []
    for name, taught in (("the tenant's", by("acme", texts, true)), ("the true ones", true)):
        learnt = Ridge(alpha=0.5).fit(words[:TRAINED], taught[:TRAINED]).predict(words)
        mapped = (learnt @ random.standard_normal((learnt.shape[1],) * 2)).astype(np.float32)
        for asked, part in (("seen", slice(TRAINED)), ("new", slice(TRAINED, None))):
            answers = suspect(by, texts[part], true[part], mapped[part])
            found = {one.tenant: one for one in findings(by, answers, ["acme", "globex"], DECOYS)}
            own, others = found["acme"], found["globex"]
            rows.append(
                {
                    "target": name,
                    "texts": asked,
                    "by_text": own.by_text,
                    "by_cell": own.by_cell,
                    "log10_p": own.log10_p,
                    "decoy_rank_p": own.decoy_rank_p,
                    "another_tenant": others.log10_p,
                }
            )
    return Report(title, rows, failures=[] if float(str(rows[0]["log10_p"])) < -6 else ["the tenant is not found"])
