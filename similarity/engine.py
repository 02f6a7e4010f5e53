"""What finds the nearest chunks of a store: FAISS beside the library, or Milvus beyond one machine."""

from typing import Protocol

from similarity.index import Found
from similarity.vectors import Ids, Vectors


class Engine(Protocol):
    """Derived from the library, which is the truth: what an engine lost or missed costs time, never an answer.

    A store goes by its number, a chunk by its id. Any thread may call it.
    """

    def search(self, store: int, questions: Vectors, k: int, allowed: Ids | None = None) -> Found:
        """The nearest chunks of a store, with their cosines."""
        ...

    def add(self, store: int, ids: Ids, vectors: Vectors) -> None:
        """Chunks that the library has acknowledged."""
        ...

    def remove(self, store: int, ids: Ids) -> None:
        """Chunks that the library has deleted."""
        ...

    def maintain(self, store: int) -> None:
        """Whatever keeps a store that has changed fast to search and to open."""
        ...

    def forget(self, store: int) -> None:
        """A store that is deleted."""
        ...

    def sweep(self, stores: set[int]) -> None:
        """Drop what is left of all stores but these."""
        ...

    def close(self) -> None:
        """Let go of what is open; nothing may call it any more."""
        ...
