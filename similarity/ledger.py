"""What each cluster has asked of hidden stores, and which items those questions scored; kept in the library."""

import sqlite3
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from similarity.disclosure import Answer, Spent
from similarity.library.database import Database
from similarity.library.seal import Seal
from similarity.recent import Recent
from similarity.vectors import Vectors, digest, ids_of

QUESTIONS, WINDOWS = 8192, 64


@dataclass(frozen=True, slots=True)
class Asked:
    """A question as it counts: its digest and vector [d], or those of the earlier one that it repeats."""

    digest: bytes
    vector: Vectors
    new: bool


class _Memory:
    """The last questions of one cluster to one store."""

    def __init__(self, dimensions: int) -> None:
        self.window = Recent(QUESTIONS, dimensions)
        self.asked: dict[int, Asked] = {}
        self.newest = 0

    def add(self, seq: int, asked: Asked) -> None:
        self.asked[seq] = asked
        self.newest = max(self.newest, seq)
        for gone in self.window.add(ids_of([seq]), asked.vector[None]).tolist():
            del self.asked[gone]


class Ledger:
    """Any thread may use it. A charge and the question it is for are on the disk before the answer is given."""

    def __init__(self, database: Database, seal: Seal, dimensions: int) -> None:
        self._database = database
        self._seal = seal
        self._dimensions = dimensions
        self._memories: OrderedDict[tuple[bytes, int], _Memory] = OrderedDict()
        self._lock = threading.Lock()

    def recognised(self, cluster: bytes, store: int, vector: Vectors, likeness: float) -> Asked:
        """The earlier question that this one [d] repeats or paraphrases, else itself.

        A paraphrase never becomes a question of its own, so that likeness does not chain.
        """
        with self._lock:
            memory = self._memory(cluster, store)
            found = memory.window.search(vector[None], 1)
            if found.ids[0, 0] >= 0 and found.scores[0, 0] >= likeness:
                return memory.asked[int(found.ids[0, 0])]
        return Asked(digest(vector), vector, new=True)

    def settled(
        self, cluster: bytes, store: int, asked: Asked, items: Sequence[int], decide: Callable[[Spent], Answer]
    ) -> Answer:
        """The answer that `decide` gives on what is spent, with what it charges, in one transaction."""
        with self._lock:
            memory = self._memory(cluster, store)
            seq = memory.newest + 1
            with self._database.writing() as connection:
                answer = decide(_spent(connection, cluster, asked.digest, items))
                # Of what is still there: an item, or the whole store, may be deleted meanwhile.
                charge = "INSERT OR IGNORE INTO charges SELECT id, ?, ? FROM chunks WHERE id = ?"
                connection.executemany(charge, [(cluster, asked.digest, item) for item in answer.charged])
                insert = "INSERT OR IGNORE INTO questions SELECT ?, seq, ?, ?, ? FROM stores WHERE seq = ?"
                row = (cluster, asked.digest, seq, self._seal.sealed(asked.vector, store), store)
                kept = asked.new and connection.execute(insert, row).rowcount == 1
            if kept:
                memory.add(seq, Asked(asked.digest, asked.vector, new=False))
        return answer

    def _memory(self, cluster: bytes, store: int) -> _Memory:
        """What is remembered, read from the library where it is not in memory."""
        key = (cluster, store)
        memory = self._memories.get(key)
        if memory is None:
            memory = self._memories[key] = _Memory(self._dimensions)
            query = (
                "SELECT seq, digest, vector FROM questions WHERE cluster = ? AND store = ? ORDER BY seq DESC LIMIT ?"
            )
            with self._database.reading() as connection:
                rows = connection.execute(query, (cluster, store, QUESTIONS)).fetchall()[::-1]
            vectors = self._seal.opened([row[2] for row in rows], store, self._dimensions)
            for (seq, known, _), vector in zip(rows, vectors, strict=True):
                memory.add(seq, Asked(known, vector, new=False))
        self._memories.move_to_end(key)
        if len(self._memories) > WINDOWS:
            self._memories.popitem(last=False)
        return memory


def _spent(connection: sqlite3.Connection, cluster: bytes, digest: bytes, items: Sequence[int]) -> Spent:
    others: dict[int, int] = {}
    paid: set[int] = set()
    query = "SELECT count(*), coalesce(sum(digest = ?), 0) FROM charges WHERE chunk = ? AND cluster = ?"
    for item in items:
        count, mine = connection.execute(query, (digest, item, cluster)).fetchone()
        others[item] = count - mine
        if mine:
            paid.add(item)
    return Spent(others, frozenset(paid))
