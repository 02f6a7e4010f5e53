"""The index against Chroma and milvus-lite over the same vectors, one question at a time, in one run."""

import json
import subprocess
import tempfile
import time
from pathlib import Path

import faiss
import numpy as np
from pymilvus import DataType, MilvusClient

from similarity.index import Kind, begun, kind_for
from similarity.vectors import Vectors
from tests.benchmarks.peers import CHROMA, INSTALL
from tests.benchmarks.report import Report, Row
from tests.similarity.made import topics

DIMENSIONS, ASKED, BATCH = 384, 100, 5000
BREADTHS = (100, 200, 400)
"""Chroma's `ef_search`: its default, then wider until it finds as much as is asked of an index."""
RECALL = 0.95


def peers(count: int) -> Report:
    """Each builds, and is asked; recall against the exact ten nearest. All on one thread, or as the peer will."""
    title = f"similarity: {count:,} vectors, llmguard's index beside its peers"
    faiss.omp_set_num_threads(1)
    vectors = topics(count, DIMENSIONS, 1, spread=1.0, topics=2000)
    questions = topics(ASKED, DIMENSIONS, 2, spread=1.0, topics=2000)
    truth = faiss.knn(questions, vectors, 10, metric=faiss.METRIC_INNER_PRODUCT)[1]
    rows = [row(f"llmguard {kind}", truth, *ours(kind, vectors, questions)) for kind in (kind_for(count), Kind.SQ8)]
    rows.append(row("milvus-lite", truth, *milvus(vectors, questions)))
    missing = {}
    if CHROMA.exists():
        for breadth in BREADTHS:
            rows.append(row(f"chroma, ef_search {breadth}", truth, *chroma(vectors, questions, breadth)))
            if float(str(rows[-1]["recall@10"])) >= RECALL:
                break
        mine, theirs = (float(str(rows[at]["questions_per_s"])) for at in (1, -1))
        slow = [f"{mine / theirs:.1f} times Chroma's questions a second"] if mine < 3 * theirs else []
        return Report(title, rows, failures=slow)
    missing["chroma"] = INSTALL
    return Report(title, rows, missing=missing)


def row(name: str, truth: np.ndarray, found: list[list[int]], took: list[float], built_s: float) -> Row:
    """Its figures."""
    recall = np.mean([len(set(a) & set(b.tolist())) / 10 for a, b in zip(found, truth, strict=True)])
    return {
        "target": name,
        "p50_ms": float(np.median(took)),
        "p99_ms": float(np.quantile(took, 0.99)),
        "questions_per_s": 1e3 * len(took) / sum(took),
        "recall@10": float(recall),
        "build_s": built_s,
    }


def ours(kind: Kind, vectors: Vectors, questions: Vectors) -> tuple[list[list[int]], list[float], float]:
    """The index of a kind."""
    start = time.perf_counter()
    index = begun(kind, vectors)
    index.add(np.arange(len(vectors)), vectors)
    built_s, took, found = time.perf_counter() - start, list[float](), list[list[int]]()
    for question in questions:
        start = time.perf_counter()
        ids = index.search(question[None], 10).ids[0]
        took.append((time.perf_counter() - start) * 1e3)
        found.append(ids.tolist())
    return found, took, built_s


def milvus(vectors: Vectors, questions: Vectors) -> tuple[list[list[int]], list[float], float]:
    """milvus-lite in a file."""
    with tempfile.TemporaryDirectory() as scratch:
        client = MilvusClient(str(Path(scratch) / "lite.db"))
        schema = client.create_schema(auto_id=False, enable_dynamic_field=False)
        schema.add_field("id", DataType.INT64, is_primary=True)
        schema.add_field("vector", DataType.FLOAT_VECTOR, dim=DIMENSIONS)
        index = client.prepare_index_params()
        index.add_index("vector", index_type="HNSW", metric_type="IP", params={"M": 16, "efConstruction": 100})
        client.create_collection("vectors", schema=schema, index_params=index)
        start = time.perf_counter()
        for at in range(0, len(vectors), BATCH):
            some = vectors[at : at + BATCH]
            client.insert("vectors", [{"id": at + row, "vector": vector} for row, vector in enumerate(some)])
        client.flush("vectors")
        built_s, took, found = time.perf_counter() - start, list[float](), list[list[int]]()
        for question in questions:
            start = time.perf_counter()
            answer = client.search("vectors", data=[question], limit=10, output_fields=["id"])[0]
            took.append((time.perf_counter() - start) * 1e3)
            found.append([int(hit["id"]) for hit in answer])
        client.close()
    return found, took, built_s


def chroma(vectors: Vectors, questions: Vectors, breadth: int) -> tuple[list[list[int]], list[float], float]:
    """Chroma in a process of its own, which its dependencies need."""
    with tempfile.TemporaryDirectory() as scratch:
        files = [str(Path(scratch) / name) for name in ("vectors.npy", "questions.npy")]
        for file, rows in zip(files, (vectors, questions), strict=True):
            np.save(file, rows)
        command = [str(CHROMA), str(Path(__file__).with_name("chroma.py")), *files, str(breadth)]
        done = subprocess.run(command, capture_output=True, check=True, text=True)
    told = json.loads(done.stdout.splitlines()[-1])
    return told["found"], told["took_ms"], told["build_s"]
