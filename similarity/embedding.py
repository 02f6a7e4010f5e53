"""Texts to vectors, batched across requests on a thread of its own."""

import threading
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

from similarity.vectors import Vectors, unit

BATCH, WAITING = 32, 4096
CALM = 8
"""So many patient jobs after the last question, they may fill a whole batch again."""


class Embedding(Protocol):
    """A model: texts [n] to float32 [n, d], in order. Blocks; called by one thread at a time."""

    def __call__(self, texts: Sequence[str]) -> Vectors:
        """The texts' vectors, of any length."""
        ...


class Overloaded(Exception):
    """More texts wait than can be served soon."""


@dataclass(frozen=True, slots=True)
class _Job:
    texts: Sequence[str]
    result: Future[Vectors]


class Batches:
    """What waits while one batch runs is the next batch: nobody waits for company, and load makes batches larger.

    At most `batch` texts a call of the model (more where one request brings more), and `waiting` texts in all.
    `patient` jobs, whose answers nobody waits for, fill batches while nothing else is asked; else one of them goes
    after each batch of the others. Await a result with `asyncio.wrap_future`.
    """

    def __init__(self, embedding: Embedding, *, batch: int = BATCH, waiting: int = WAITING) -> None:
        self._embedding = embedding
        self._batch = batch
        self._waiting = waiting
        self._jobs: deque[_Job] = deque()
        self._patient: deque[_Job] = deque()
        self._since = CALM
        self._texts = 0
        self._running = False
        self._closed = False
        self._lock = threading.Lock()
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="llmguard-embedding")

    def submit(self, texts: Sequence[str], *, patient: bool = False) -> Future[Vectors]:
        """The unit vectors [n, d] of one text or more, later; one that is cancelled in time costs nothing.

        Raises Overloaded, and ValueError for no texts.
        """
        if not texts:
            raise ValueError("there is nothing to embed")
        job = _Job(tuple(texts), Future())
        with self._lock:
            if self._closed or self._texts + len(job.texts) > self._waiting:
                raise Overloaded("too many texts wait to be embedded")
            (self._patient if patient else self._jobs).append(job)
            self._texts += len(job.texts)
            if not self._running:
                self._running = True
                self._pool.submit(self._work)
        return job.result

    def close(self) -> None:
        """Cancel what waits, and end the thread after the batch that runs."""
        with self._lock:
            jobs, self._texts, self._running = [*self._jobs, *self._patient], 0, True
            self._jobs.clear()
            self._patient.clear()
            self._closed = True
        for job in jobs:
            job.result.cancel()
        self._pool.shutdown(wait=True)

    def _work(self) -> None:
        """One batch; then the next, where something waits."""
        batch = self._next()
        try:
            self._embed(batch)
        except BaseException as error:
            for job in batch:
                job.result.set_exception(error)
            raise
        finally:
            with self._lock:
                waits = bool(self._jobs or self._patient)
                self._running = waits or self._closed
                if waits:
                    self._pool.submit(self._work)

    def _next(self) -> list[_Job]:
        with self._lock:
            # Between two batches of questions one patient job, so that neither lane ever stands still.
            turn = bool(self._patient) and (self._since == 0 or not self._jobs)
            most = 1 if turn and self._since < CALM else self._batch
            lane, self._since = (self._patient, self._since + 1) if turn else (self._jobs, 0)
            taken: list[_Job] = []
            count = 0
            while lane and (not taken or count + len(lane[0].texts) <= most):
                job = lane.popleft()
                self._texts -= len(job.texts)
                if job.result.set_running_or_notify_cancel():
                    taken.append(job)
                    count += len(job.texts)
            return taken

    def _embed(self, batch: Sequence[_Job]) -> None:
        texts = [text for job in batch for text in job.texts]
        if not texts:
            return
        vectors = unit(self._embedding(texts))
        if len(vectors) != len(texts):
            raise ValueError("the model gave another number of vectors than of texts")
        at = 0
        for job in batch:
            job.result.set_result(vectors[at : at + len(job.texts)])
            at += len(job.texts)
