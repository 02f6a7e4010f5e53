"""Unmarked passages under keys that are not theirs: p is a p-value there, and without deduplication it is none."""

import csv
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from scipy import stats

from tests.benchmarks.report import Report, Row
from tests.benchmarks.texts import DATA
from watermark.detector import Detector
from watermark.ngrams import Tokens, ngrams
from watermark.normalise import Normaliser
from watermark.scheme import Floats, Keys
from watermark.schemes.gumbel import Vllm
from watermark.statistics.calibration import false_positives, uniformity
from watermark.tokenizer import TextTokenizer, load

LOOKS = 20_000
LENGTH = 200
WIDTHS = (1, 2, 4)
LEVEL = 1e-3


def run() -> list[Report]:
    """20,000 looks for each context width: as many passages as there are, each under keys of its own."""
    tokenizer = load("smollm2")
    found = list(passages(human(), tokenizer, LENGTH))
    if not found:
        return [Report("watermark: unmarked text", missing={"human text": f"needs {DATA}"})]
    return [null("people's", found, LOOKS, WIDTHS)]


def human(folder: Path = DATA) -> Iterator[str]:
    """What people wrote, from the development data where it is there: questions, tasks, role plays, news."""
    for path in sorted(folder.rglob("*")):
        if path.suffix == ".jsonl":
            yield "\n".join(_strings([json.loads(line) for line in path.read_text().split("\n") if line]))
        elif path.suffix == ".json":
            content = json.loads(path.read_text())
            rows = content.get("train", []) if isinstance(content, dict) else content
            yield "\n".join(_strings(rows))
        elif path.name == "banking77_test.csv":
            with path.open() as file:
                yield "\n".join(row["text"] for row in csv.DictReader(file))


def _strings(value: object) -> Iterator[str]:
    if isinstance(value, str):
        if " " in value:
            yield value
    elif isinstance(value, dict):
        for part in value.values():
            yield from _strings(part)
    elif isinstance(value, list):
        for part in value:
            yield from _strings(part)


def passages(sources: Iterator[str], tokenizer: TextTokenizer, length: int) -> Iterator[Tokens]:
    """Passages of `length` tokens, no two the same."""
    normaliser, seen = Normaliser(), set()
    for source in sources:
        tokens, _ = tokenizer.tokens(normaliser(source))
        for start in range(0, tokens.size - length + 1, length):
            passage = tokens[start : start + length]
            if passage.tobytes() not in seen:
                seen.add(passage.tobytes())
                yield passage


def null(what: str, found: Sequence[Tokens], looks: int, widths: Sequence[int]) -> Report:
    """For each width, `looks` p-values: of every passage under so many random keys, each used once.

    Under independent keys the p-values of one passage are independent given the passage, so that a
    passage may be looked at more than once.
    """
    rows: list[Row] = []
    for width in widths:
        each = -(-looks // len(found))
        keys = np.random.default_rng(width).integers(0, 2**64, (len(found), each, 1), np.uint64)
        for how, once in (("counted once", True), ("counted as often as they stand", False)):
            p = np.concatenate([_p(passage, own, width, once) for passage, own in zip(found, keys, strict=True)])
            rows.append(_row(what, width, how, len(found), p))
        searched = np.concatenate([_searched(passage, own, width) for passage, own in zip(found, keys, strict=True)])
        rows.append(_row(what, width, "and windows searched", len(found), searched))
    return Report("watermark: unmarked text, with 95 % intervals", rows)


def _p(passage: Tokens, keys: Keys, width: int, once: bool) -> Floats:
    detector = Detector(Vllm(width), keys)
    if once:
        return np.exp(detector.log_p(passage))
    grams = ngrams(passage, width)
    return np.exp(detector.scheme.log_tail(np.full(len(keys), float(len(grams))), detector.totals(grams)))


def _searched(passage: Tokens, keys: Keys, width: int) -> Floats:
    return np.array([one.p_value for one in Detector(Vllm(width), keys).document(passage, alpha=LEVEL)])


def _row(what: str, width: int, how: str, texts: int, p: Floats) -> Row:
    (rate,) = false_positives(p, [LEVEL])
    interval = stats.binomtest(rate.found, p.size).proportion_ci(0.95, method="exact")
    return {
        "target": f"{what} text, h = {width}",
        "contexts": how,
        "passages": texts,
        "looks": p.size,
        "ks_p": uniformity(p),
        "fpr_1e-3": rate.found / p.size,
        "low": float(interval.low),
        "high": float(interval.high),
    }
