"""Killing a process that writes, at random points, and looking at what it left."""

import os
import random
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from similarity.library.records import NotFound, Status
from tests.similarity.whole import Whole

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True)
class Left:
    """What a killed process left: files acknowledged, those of them lost, and files that are there by half."""

    acknowledged: int
    lost: tuple[str, ...]
    halves: tuple[str, ...]
    wrong_indexes: int


def killed(directory: Path, seed: int, source: random.Random) -> list[str]:
    """The lines of a process that was killed up to 120 ms after its first file."""
    command = [sys.executable, "-m", "tests.similarity.killed", str(directory), str(seed)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT, env=environment, text=True) as child:
        assert child.stdout is not None
        first = child.stdout.readline()
        with suppress(subprocess.TimeoutExpired):
            child.wait(source.uniform(0, 0.12))
        child.kill()
        rest = child.stdout.read()
    return [line for line in (first + rest).split("\n")[:-1] if line]


def left(directory: Path, lines: list[str]) -> Left:
    """What is there after a restart, against what was said."""
    promised: dict[tuple[str, str], int] = {}
    for line in lines:
        sign, store, file, chunks = line.split()
        if sign == "+":
            promised[store, file] = int(chunks)
        else:  # A detachment that was begun may or may not have ended.
            promised.pop((store, file), None)
    whole = Whole(directory, largest_flat=40, name="after-")
    try:
        lost = [file for (store, file), chunks in promised.items() if _chunks(whole, store, file) != chunks]
        halves = [str(row) for row in _halves(whole)]
        return Left(len(promised), tuple(lost), tuple(halves), _wrong_indexes(whole))
    finally:
        whole.close()


def _chunks(whole: Whole, store: str, file: str) -> int:
    try:
        entry = whole.entries.get("acme", store, file)
    except NotFound:
        return -1
    with whole.database.reading() as connection:
        query = (
            "SELECT count(*) FROM chunks JOIN entries ON entries.seq = chunks.entry JOIN files ON files.seq = file"
            " WHERE files.id = ?"
        )
        count: int = connection.execute(query, (file,)).fetchone()[0]
    return count if entry.status is Status.COMPLETED else -1


def _halves(whole: Whole) -> list[object]:
    """Entries with chunks that are not complete, complete ones without, and chunks of none."""
    with whole.database.reading() as connection:
        return connection.execute(
            "SELECT entries.seq, status, count(chunks.id) AS held FROM entries"
            " LEFT JOIN chunks ON chunks.entry = entries.seq GROUP BY entries.seq"
            " HAVING (status = 'completed') != (held > 0) UNION ALL"
            " SELECT id, 'orphan', 0 FROM chunks WHERE entry NOT IN (SELECT seq FROM entries)"
        ).fetchall()


def _wrong_indexes(whole: Whole) -> int:
    """Stores whose index finds other chunks than the library has, by vector or by word."""
    wrong = 0
    for store in whole.stores.numbers():
        ids = whole.entries.chunk_ids(store)
        _, vectors = whole.entries.vectors(store, ids)
        found = whole.catalogue.search(store, vectors[:1], len(ids) + 5).ids[0] if len(ids) else ids
        by_vector = sorted(id for id in found.tolist() if id >= 0) == ids.tolist()
        words = " ".join(f"w{at}" for at in range(64))
        by_word = set(whole.matching.worded(store, words, 10**6, None).tolist()) <= set(ids.tolist())
        wrong += not (by_vector and by_word)
    return wrong
