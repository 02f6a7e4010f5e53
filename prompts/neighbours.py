"""The nearest fingerprints of a bounded recent window: what an index must do, and an exact one."""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float32]


class Neighbours(Protocol):
    """An index of unit vectors by id."""

    def add(self, index: int, vector: Vector) -> None:
        """Keep a vector under a fresh id."""

    def search(self, vector: Vector, k: int) -> tuple[NDArray[np.int64], Vector]:
        """The ids and cosines of the k nearest, nearest first; fewer where fewer are kept."""

    def remove(self, index: int) -> None:
        """Forget an id; nothing happens where it is not kept."""


class ExactNeighbours:
    """Every kept vector is compared: exact, 4·dimensions bytes a vector, for small windows and for tests."""

    def __init__(self, dimensions: int) -> None:
        self._vectors = np.zeros((64, dimensions), np.float32)
        self._ids = np.full(64, -1, np.int64)
        self._places: dict[int, int] = {}

    def add(self, index: int, vector: Vector) -> None:
        """Keep a vector; raises ValueError where the id is kept already."""
        if index in self._places:
            raise ValueError(f"id {index} is kept already")
        place = len(self._places)
        if place == len(self._ids):
            self._vectors = np.concatenate([self._vectors, np.zeros_like(self._vectors)])
            self._ids = np.concatenate([self._ids, np.full_like(self._ids, -1)])
        self._vectors[place], self._ids[place], self._places[index] = vector, index, place

    def search(self, vector: Vector, k: int) -> tuple[NDArray[np.int64], Vector]:
        """By falling cosine, then as they were kept."""
        count = len(self._places)
        cosines: Vector = self._vectors[:count] @ vector
        order = np.argsort(-cosines, kind="stable")[: max(k, 0)]
        return self._ids[order], cosines[order]

    def remove(self, index: int) -> None:
        """The last vector takes the place of the one that goes."""
        place = self._places.pop(index, None)
        if place is None:
            return
        last = len(self._places)
        if place != last:
            moved = int(self._ids[last])
            self._vectors[place], self._ids[place], self._places[moved] = self._vectors[last], moved, place
        self._ids[last] = -1
