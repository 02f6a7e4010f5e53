"""Similarity: what answers leak and are good for, how fast indexes are, and what kill -9 leaves."""

import random
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import faiss
import numpy as np

from similarity.catalogue import SAMPLE
from similarity.embedding import Batches
from similarity.index import Index, Kind, begun
from similarity.snapshot import write
from similarity.vectors import Vectors
from tests.benchmarks import similarity_leak, similarity_peers, similarity_student
from tests.benchmarks.report import Report, Row
from tests.benchmarks.texts import Absent, Model, banking
from tests.similarity.kill import killed, left
from tests.similarity.made import topics

COUNT, DIMENSIONS, ASKED, BLOCK = 1_000_000, 384, 200, 50_000
BESIDE_PEERS = 100_000
KILLS, CLIENTS = 200, 32
KEY = b"k" * 32


def run(seconds: int) -> list[Report]:
    """All of it; `seconds` is how long questions are embedded."""
    return [
        similarity_leak.leak(),
        similarity_leak.utility(),
        similarity_student.students(),
        similarity_student.gram(),
        indexes(COUNT),
        similarity_peers.peers(BESIDE_PEERS),
        embedding(seconds),
        kills(KILLS),
    ]


def blocks(count: int) -> list[tuple[int, int]]:
    """(seed, size) of the parts that vectors are made in."""
    return [(start, min(BLOCK, count - start)) for start in range(0, count, BLOCK)]


def made(seed: int, size: int) -> Vectors:
    """Unit vectors round 2,000 topics, spread like sentences of one domain: cosines of .3 to .9 to the nearest."""
    return topics(size, DIMENSIONS, seed, spread=1.0, topics=2000)


def indexes(count: int) -> Report:
    """sq8 and pq against raw FAISS with the same cells, searched one question at a time on one thread."""
    faiss.omp_set_num_threads(1)
    questions = made(10**7, ASKED)
    truth = nearest(questions, count)
    rows = [row for kind in (Kind.SQ8, Kind.PQ) for row in measured(kind, count, questions, truth)]
    failures = [f"{row['target']}: {row['resident_bytes']:.0f} bytes" for row in rows if heavy(row)]
    return Report(f"similarity: {count:,} vectors of {DIMENSIONS} dimensions, one thread", rows, failures=failures)


def heavy(row: Row) -> bool:
    """Whether an index takes more memory than promised."""
    most = 450 if "sq8" in str(row["target"]) else 120
    return row["resident_bytes"] is not None and float(str(row["resident_bytes"])) > most


def nearest(questions: Vectors, count: int) -> np.ndarray:
    """The true ten nearest ids, block by block."""
    ids, scores = np.empty((len(questions), 0), np.int64), np.empty((len(questions), 0), np.float32)
    for start, size in blocks(count):
        some, rows = faiss.knn(questions, made(start, size), 10, metric=faiss.METRIC_INNER_PRODUCT)
        ids, scores = np.hstack([ids, rows + start]), np.hstack([scores, some])
        best = np.argsort(-scores, axis=1)[:, :10]
        ids, scores = np.take_along_axis(ids, best, 1), np.take_along_axis(scores, best, 1)
    return ids


def measured(kind: Kind, count: int, questions: Vectors, truth: np.ndarray) -> list[Row]:
    """Ours, and FAISS's own index inside it asked directly."""
    sample = np.concatenate([made(start, size)[:: max(1, count // SAMPLE)] for start, size in blocks(count)])
    start = time.perf_counter()
    index = begun(kind, sample)
    for at, size in blocks(count):
        index.add(np.arange(at, at + size), made(at, size))
    built_s = time.perf_counter() - start
    size = sum(part.nbytes for part in index.parts().values()) / count
    raw = index._index  # type: ignore[attr-defined]
    parameters = faiss.SearchParametersIVF(nprobe=int(index.parts()["read"][0]))
    theirs = timed(lambda q: raw.search(q, 10, params=parameters)[1], questions, truth)
    ours = timed(lambda q: index.search(q, 10).ids, questions, truth)
    opened_s, resident = cold(index)
    figures = {
        "bytes_a_vector": size,
        "resident_bytes": resident / count,
        "build_s": built_s,
        "cold_start_s": opened_s,
    }
    return [
        {"target": f"llmguard {kind}", **ours, **figures},
        {"target": f"faiss {kind}", **theirs, **dict.fromkeys(figures)},
    ]


def timed(search: Callable[[Vectors], np.ndarray], questions: Vectors, truth: np.ndarray) -> dict[str, float]:
    """Milliseconds of single questions, and recall."""
    took, found = [], []
    for question in questions:
        start = time.perf_counter()
        ids = search(question[None])[0]
        took.append((time.perf_counter() - start) * 1e3)
        found.append(set(ids.tolist()))
    recall = np.mean([len(a & set(b.tolist())) / 10 for a, b in zip(found, truth, strict=True)])
    return {"p50_ms": float(np.median(took)), "p99_ms": float(np.quantile(took, 0.99)), "recall@10": float(recall)}


def cold(index: Index) -> tuple[float, int]:
    """Seconds to open a snapshot, decrypted and verified, up to the first answer; and the bytes that then stay."""
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "index"
        write(path, KEY, {"kind": str(index.kind)}, index.parts())
        command = [sys.executable, "-m", "tests.benchmarks.similarity_cold", str(path), KEY.hex(), str(DIMENSIONS)]
        done = subprocess.run(command, capture_output=True, check=True, text=True)
        seconds, resident = done.stdout.split()
        return float(seconds), int(resident)


def embedding(seconds: int) -> Report:
    """Questions a second through batching, 32 clients, each with one at a time."""
    title = f"similarity: questions embedded for {CLIENTS} clients"
    try:
        model, texts = Model(), banking().texts
    except Absent as absent:
        return Report(title, missing={"similarity": str(absent)})
    rows = []
    for name, batch in (("one at a time", 1), ("batched", 32)):
        batches, done = Batches(model, batch=batch), list[float]()
        end = time.perf_counter() + seconds

        def client(at: int, batches: Batches = batches, done: list[float] = done, end: float = end) -> None:
            while (start := time.perf_counter()) < end:
                batches.submit([texts[(at + len(done)) % len(texts)]]).result()
                done.append(time.perf_counter() - start)

        threads = [threading.Thread(target=client, args=(at,)) for at in range(CLIENTS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        batches.close()
        p50, p99 = (float(np.quantile(done, q)) * 1e3 for q in (0.5, 0.99))
        rows.append({"target": name, "questions_per_s": len(done) / seconds, "p50_ms": p50, "p99_ms": p99})
    return Report(title, rows)


def kills(count: int) -> Report:
    """A writer killed at random points, ten times a directory."""
    source, acknowledged, failures = random.Random(1), 0, list[str]()
    for first in range(0, count, 10):
        with tempfile.TemporaryDirectory() as scratch:
            lines: list[str] = []
            for seed in range(first, min(first + 10, count)):
                lines += killed(Path(scratch), seed, source)
                found = left(Path(scratch), lines)
                failures += [f"lost {file} (seed {seed})" for file in found.lost]
                failures += [f"half {entry} (seed {seed})" for entry in found.halves]
                failures += [f"index differs (seed {seed})"] * found.wrong_indexes
            acknowledged += sum(line.startswith("+") for line in lines)
    row: Row = {"target": "llmguard", "kills": count, "files_acknowledged": acknowledged, "lost_or_half": len(failures)}
    return Report("similarity: kill -9 while writing and compacting", [row], failures=failures)
