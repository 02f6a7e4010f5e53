"""Chroma, asked one question at a time; run by the Python of its own home: `chroma.py VECTORS QUESTIONS EF_SEARCH`.

The files hold float32 [n, d] as NumPy keeps them; a line of JSON: ids found, milliseconds each, seconds of building.
"""

import json
import sys
import time

import chromadb
import numpy as np

BATCH, FOUND = 5000, 10


def main(vectors: str, questions: str, ef_search: str) -> None:
    """Build in memory, then ask; a collection keeps the breadth that it was created with."""
    client = chromadb.EphemeralClient(chromadb.Settings(anonymized_telemetry=False))
    configuration = {"hnsw": {"space": "ip", "ef_search": int(ef_search)}}
    collection = client.create_collection("vectors", configuration=configuration, embedding_function=None)
    rows, start = np.load(vectors), time.perf_counter()
    for at in range(0, len(rows), BATCH):
        some = rows[at : at + BATCH]
        collection.add(ids=[str(at + row) for row in range(len(some))], embeddings=some)
    built_s = time.perf_counter() - start
    took, found = [], []
    for question in np.load(questions):
        start = time.perf_counter()
        answer = collection.query(query_embeddings=question[None], n_results=FOUND, include=["distances"])
        took.append((time.perf_counter() - start) * 1e3)
        found.append([int(id) for id in answer["ids"][0]])
    sys.stdout.write(json.dumps({"found": found, "took_ms": took, "build_s": built_s}) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
