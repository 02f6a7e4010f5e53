"""Watermarks: keyed functions over vocabularies, detection beside transformers' detector, memory over a stream."""

import subprocess
import sys
from collections.abc import Callable
from statistics import quantiles
from time import perf_counter

import numpy as np
import torch
from transformers import PretrainedConfig, WatermarkDetector, WatermarkingConfig

from tests.benchmarks.report import Report, Row
from tests.benchmarks.targets import REPOSITORY
from watermark.detector import Detector
from watermark.prf import murmur3, philox
from watermark.scheme import Scheme
from watermark.schemes.gumbel import Sglang, Vllm
from watermark.schemes.kgw import Lefthash

VOCABULARIES = (49_152, 152_064)
KEY = np.uint64(0x0123456789ABCDEF)
CONTEXT = np.array([5, 6, 7, 8])
MIB = 1 << 20
STREAM_TOKENS = 20_000_000
STREAM_BYTES = 1 << 30
PEER_TOKENS = 2_000


def run(seconds: int) -> list[Report]:
    """The benchmarks, one thread each; `seconds` bounds each repeated measurement."""
    torch.set_num_threads(1)
    return [keyed(seconds), detection(seconds, PEER_TOKENS), stream(STREAM_TOKENS), text_stream(STREAM_BYTES)]


def keyed(seconds: float) -> Report:
    """Milliseconds for one key, one context and every token."""
    rows: list[Row] = []
    for size in VOCABULARIES:
        tokens = np.arange(size, dtype=np.uint32)
        for name, work in (
            ("murmur3", lambda tokens=tokens: murmur3.uniforms(KEY, murmur3.context_hash(CONTEXT), tokens)),
            ("philox", lambda size=size: philox.vocabulary(KEY, philox.context_state(KEY, CONTEXT), size)),
        ):
            low, middle, high = quantiles(timed(work, seconds / 4), n=4)
            rows.append(
                {"target": name, "vocabulary": size, "ms": middle * 1e3, "q1_ms": low * 1e3, "q3_ms": high * 1e3}
            )
    return Report("watermark: the keyed function over a vocabulary", rows)


def detection(seconds: float, peer_tokens: int) -> Report:
    """Tokens a second on one document: of `peer_tokens` tokens where the peer takes part."""
    text = np.random.default_rng(0).integers(0, 49_152, 100_000)
    rows = [speed(scheme.name, scheme, text, 1, seconds / 4) for scheme in (Vllm(), Sglang())]
    rows.append(speed("gumbel-vllm", Vllm(), text[:20_000], 100, seconds / 4))
    short = text[:peer_tokens]
    rows.append(speed("kgw-lefthash", Lefthash(49_152), short, 1, seconds / 4))
    config = WatermarkingConfig(seeding_scheme="lefthash", hashing_key=int(KEY) % 2**31)
    peer = WatermarkDetector(
        PretrainedConfig(vocab_size=49_152, bos_token_id=49_152), "cpu", config, ignore_repeated_ngrams=True
    )
    ids = torch.tensor(short[np.newaxis])
    rows.append(row("transformers kgw-lefthash", short.size, 1, timed(lambda: peer(ids), seconds / 4)))
    return Report("watermark: detection", rows)


def speed(name: str, scheme: Scheme, text: np.ndarray, keys: int, seconds: float) -> Row:
    """One row of ours."""
    chosen = np.random.default_rng(1).integers(0, 2**31, (keys, 1)).astype(np.uint64)
    return row(name, text.size, keys, timed(lambda: Detector(scheme, chosen).log_p(text), seconds))


def row(name: str, tokens: int, keys: int, times: list[float]) -> Row:
    """Medians with quartiles."""
    low, middle, high = quantiles(times, n=4)
    return {
        "target": name,
        "keys": keys,
        "tokens": tokens,
        "tokens_per_s": tokens / middle,
        "q1_tokens_per_s": tokens / high,
        "q3_tokens_per_s": tokens / low,
        "scores_per_s": tokens * keys / middle,
    }


def timed(work: Callable[[], object], seconds: float) -> list[float]:
    """Seconds of each of at least three runs, after one that warms up."""
    work()
    found: list[float] = []
    while len(found) < 3 or sum(found) < seconds:
        start = perf_counter()
        work()
        found.append(perf_counter() - start)
    return found


def stream(tokens: int) -> Report:
    """A corpus that is never whole in memory, in a process of its own."""
    command = [sys.executable, "-m", "tests.benchmarks.watermark_stream", str(tokens)]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    if done.returncode:
        return Report("watermark: a stream", failures=[done.stderr.strip().splitlines()[-1]])
    scored, seconds, peak = map(float, done.stdout.split())
    found: Row = {
        "target": "gumbel-vllm",
        "tokens": tokens,
        "scored": int(scored),
        "tokens_per_s": tokens / seconds,
        "peak_rss_mib": peak / 1024,
    }
    return Report("watermark: a stream", [found])


def text_stream(size: int) -> Report:
    """`detect -` over so many bytes of text, in a process of its own, with the embedded model's tokenizer."""
    command = [sys.executable, "-m", "tests.benchmarks.watermark_text_stream", "smollm2", str(size)]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    if done.returncode != 1:  # nothing of it is marked
        return Report("watermark: text on standard input", failures=[done.stderr.strip().splitlines()[-1]])
    seconds, peak = map(float, done.stderr.split()[-2:])
    found: Row = {
        "target": "detect -",
        "mib": size / MIB,
        "verdicts": done.stdout.count("\n"),
        "mib_per_s": size / MIB / seconds,
        "peak_rss_mib": peak / 1024,
    }
    return Report("watermark: text on standard input", [found])
