"""What marking does to the embedded model's answers: evidence, quality, agreement of repeated prompts, and pace."""

import os
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import combinations, pairwise
from pathlib import Path
from time import perf_counter

import numpy as np
from scipy import stats

from llmguard.mark import Mark
from llmguard.upstreams.embedded.chat_model import ChatModel
from llmguard.upstreams.embedded.frames import Generate
from llmguard.upstreams.embedded.generation import generate
from llmguard.upstreams.embedded.marking import marked_draw
from llmguard.upstreams.embedded.models import Models
from llmguard.upstreams.embedded.order import Order, Sampling, Turn
from llmguard.upstreams.embedded.sampling import Draw, inverse_draw
from tests.benchmarks.report import Report, Row
from tests.benchmarks.texts import DATA
from tests.benchmarks.watermark_null import LOOKS, human, null, passages
from tests.benchmarks.watermark_robust import curves
from tests.benchmarks.watermark_texts import Text, prompts, texts
from watermark.detector import Detector
from watermark.schemes.gumbel import Vllm
from watermark.tokenizer import load

MARK = Mark("wm_benchmark", "gumbel-vllm", 4, 0xA1B2C3D4E5F60718)
NUCLEUS = Sampling(temperature=0.8, top_p=0.95)
SAMPLINGS = {"T 0.8, top-p 0.95": NUCLEUS, "T 1": Sampling(temperature=1.0)}
LENGTHS = (100, 200)
REPEATED = ("What is the capital of France?", "Why is the sky blue?", "Tell me a story about a lost dog.")
ALPHA = 1e-6


def run(seconds: int) -> list[Report]:
    """The benchmarks; `seconds` bounds the pace, texts are as many as the claims are about."""
    cache = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "llmguard"
    model = Models(cache).chat
    return [*evidence(model, 136, LENGTHS), agreement(model, 200, 40), pace(model, seconds, 48), *lasting(model)]


def lasting(model: ChatModel) -> list[Report]:
    """What is left of marks when their texts are changed, and what other keys find in them."""
    tokenizer = load("smollm2")
    plain = list(passages(human(), tokenizer, 3 * max(LENGTHS)))
    if not plain:
        return [Report("watermark: what is left of a mark", missing={"human text": f"needs {DATA}"})]
    found = texts(model, prompts(136), draws(MARK, 7), sampling=NUCLEUS, tokens=max(LENGTHS))
    marked = [np.array(text.tokens) for text in found if len(text.tokens) == max(LENGTHS)]
    detector = Detector(Vllm(MARK.width), np.array([[MARK.key]], np.uint64))
    return [curves(marked, plain, tokenizer, detector), null("the embedded model's", marked, LOOKS, [MARK.width])]


def draws(mark: Mark | None, seed: int) -> Callable[[], Draw]:
    """A new answer's draw a call, as the worker makes it: marked, or not."""
    seeds = np.random.SeedSequence(seed)

    def draw() -> Draw:
        generator = np.random.default_rng(seeds.spawn(1)[0])
        return inverse_draw(generator) if mark is None else marked_draw(mark, generator)

    return draw


def evidence(model: ChatModel, count: int, lengths: Sequence[int]) -> list[Report]:
    """p-values of marked texts as a verifier finds them in the text alone, and the texts' quality beside unmarked."""
    found, quality = [], []
    for name, sampling in SAMPLINGS.items():
        asked, longest = prompts(count), max(lengths)
        marked = texts(model, asked, draws(MARK, 1), sampling=sampling, tokens=longest)
        plain = [texts(model, asked, draws(None, seed), sampling=sampling, tokens=longest) for seed in (2, 3)]
        found += [reached(model, name, marked, length) for length in lengths]
        quality += [compared(name, "marked", marked, plain[0]), compared(name, "unmarked again", plain[1], plain[0])]
    return [
        Report("watermark: embedded model, what a verifier finds", found),
        Report("watermark: embedded model, quality less that of an unmarked run, with 95 % intervals", quality),
    ]


def reached(model: ChatModel, name: str, marked: Sequence[Text], length: int) -> Row:
    """The share of texts that reach ALPHA in their first `length` tokens, with its exact 95 % interval."""
    detector = Detector(Vllm(MARK.width), np.array([[MARK.key]], np.uint64))
    p = np.array([
        detector.document(model.encode(written(model, text.tokens[:length])), alpha=ALPHA)[0].log10_p
        for text in marked
        if len(text.tokens) >= length
    ])  # fmt: skip
    hits = int((p <= np.log10(ALPHA)).sum())
    interval = stats.binomtest(hits, p.size).proportion_ci(0.95, method="exact") if p.size else None
    return {
        "target": name,
        "tokens": length,
        "texts": p.size,
        "share_1e-6": hits / p.size if p.size else None,
        "low": interval.low if interval else None,
        "high": interval.high if interval else None,
        "median_log10_p": float(np.median(p)) if p.size else None,
        "worst_log10_p": float(p.max()) if p.size else None,
    }


def written(model: ChatModel, tokens: Sequence[int]) -> str:
    """The text of tokens."""
    return b"".join(map(model.text_of, tokens)).decode(errors="replace")


def compared(name: str, what: str, ours: Sequence[Text], plain: Sequence[Text]) -> Row:
    """Mean differences, prompt by prompt, with half their 95 % intervals."""
    row: dict[str, object] = {"target": name, "texts": what}
    for title, measure in (
        ("nats_a_token", lambda text: text.surprise),
        ("distinct_2", lambda text: distinct([text.tokens], 2)),
        ("distinct_3", lambda text: distinct([text.tokens], 3)),
    ):
        differences = [measure(a) - measure(b) for a, b in zip(ours, plain, strict=True) if a.tokens and b.tokens]
        row |= {
            f"unmarked_{title}": float(np.mean([measure(text) for text in plain if text.tokens])),
            title: float(np.mean(differences)),
            f"{title}_half": float(1.96 * np.std(differences, ddof=1) / np.sqrt(len(differences))),
        }
    return row


def distinct(answers: Sequence[Sequence[int]], n: int) -> float:
    """The share of n-grams that are different ones."""
    grams = [tuple(answer[place : place + n]) for answer in answers for place in range(len(answer) - n + 1)]
    return len(set(grams)) / len(grams) if grams else 1.0


def agreement(model: ChatModel, count: int, tokens: int, asked: Sequence[str] = REPEATED) -> Report:
    """How far `count` answers to one prompt agree: marked, unmarked, and unmarked again."""
    rows: list[Row] = []
    for prompt in asked:
        for what, mark, seed in (("unmarked", None, 4), ("unmarked again", None, 5), ("marked", MARK, 6)):
            found = texts(model, [prompt] * count, draws(mark, seed), sampling=NUCLEUS, tokens=tokens)
            rows.append({"target": prompt, "answers": what, **agreeing([text.tokens for text in found])})
    return Report("watermark: embedded model, one prompt many times, with 95 % intervals", rows)


def agreeing(answers: Sequence[tuple[int, ...]]) -> Row:
    """Exact matches and mean common prefix over all pairs, distinct-2 over all answers; 95 % intervals by jackknife."""
    count = len(answers)
    prefixes, same = np.zeros((count, count)), np.zeros((count, count))
    for one, other in combinations(range(count), 2):
        prefixes[one, other] = prefixes[other, one] = common(answers[one], answers[other])
        same[one, other] = same[other, one] = answers[one] == answers[other]
    row: dict[str, object] = {}
    for title, pairs in (("exact", same), ("prefix", prefixes)):
        without = (pairs.sum() - 2 * pairs.sum(axis=1)) / ((count - 1) * (count - 2))
        row |= {title: pairs.sum() / (count * (count - 1)), f"{title}_half": half(without)}
    grams = [Counter(pairwise(answer)) for answer in answers]
    total = sum(grams, Counter())
    kinds, size = len(total), total.total()
    # Leaving an answer out takes away the pairs of tokens that it alone has.
    without = [
        (kinds - sum(total[gram] == times for gram, times in own.items())) / (size - own.total()) for own in grams
    ]
    return row | {"distinct_2": kinds / size, "distinct_2_half": half(np.array(without))}


def half(without: np.ndarray) -> float:
    """Half a 95 % interval, from a statistic [n] computed n times without one observation (Tukey's jackknife)."""
    return float(1.96 * np.sqrt((without.size - 1) * np.var(without)))


def common(one: Sequence[int], other: Sequence[int]) -> int:
    """The length of the common beginning."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((place for place, (a, b) in pairs if a != b), min(len(one), len(other)))


def pace(model: ChatModel, seconds: float, tokens: int) -> Report:
    """Tokens a second of the worker's own generation, marked and not in turns; the cost with its 95 % interval."""
    rows: list[Row] = []
    for name, sampling in SAMPLINGS.items():
        sampling = Sampling(
            temperature=sampling.temperature, top_p=sampling.top_p, logit_bias=dict.fromkeys(model.ends, -100.0)
        )
        order = Order(turns=(Turn("user", prompts(1)[0]),), max_tokens=tokens, sampling=sampling)
        took: list[tuple[float, float]] = []
        until = perf_counter() + seconds
        while len(took) < 3 or perf_counter() < until:
            # In turns, the first of a pair changing, so that a busy machine meets both.
            marks = (None, MARK) if len(took) % 2 else (MARK, None)
            times = {mark: step(model, Generate(1, order, mark), tokens) for mark in marks}
            took.append((times[None], times[MARK]))
        costs = [marked / plain - 1 for plain, marked in took]
        interval = stats.bootstrap((costs,), np.median, n_resamples=999, rng=8).confidence_interval
        rows.append({
            "target": name,
            "pairs": len(took),
            "unmarked_tokens_per_s": 1 / float(np.median([plain for plain, _ in took])),
            "cost_percent": 100 * float(np.median(costs)),
            "low": 100 * float(interval.low),
            "high": 100 * float(interval.high),
        })  # fmt: skip
    return Report("watermark: embedded model, what marking costs", rows)


def step(model: ChatModel, request: Generate, tokens: int) -> float:
    """The median seconds from a token to the next, the prompt's reading left out."""
    times = [perf_counter()]
    for _ in generate(model, request):
        times.append(perf_counter())
    return float(np.median([later - earlier for earlier, later in pairwise(times[-tokens:])]))
