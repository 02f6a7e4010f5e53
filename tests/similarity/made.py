"""Inputs that the tests make: clustered unit vectors, like those of texts on some topics."""

import numpy as np

from similarity.vectors import Vectors, unit


def directions(count: int, dimensions: int, seed: int) -> Vectors:
    """[count, d] uniform on the sphere."""
    return unit(np.random.default_rng(seed).standard_normal((count, dimensions)))


def topics(count: int, dimensions: int, seed: int, *, spread: float = 0.7, topics: int = 20) -> Vectors:
    """[count, d] round `topics` centres, which are the same for every seed."""
    random = np.random.default_rng(seed)
    centres = directions(topics, dimensions, 1)
    noise = random.standard_normal((count, dimensions)) * spread / dimensions**0.5
    return unit(centres[random.integers(topics, size=count)] + noise)
