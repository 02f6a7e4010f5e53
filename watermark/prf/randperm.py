"""PyTorch's CPU permutation, as far as a green list needs it: MT19937 and the first steps of a shuffle.

Step i swaps place i with place i + word_i mod (size - i), so the first `count` places are final
after `count` steps. Only the low 32 bits of a seed count. CUDA's generator is another one.
"""

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Places: TypeAlias = NDArray[np.int64]

MASK = 0xFFFFFFFF


def words(seed: int, count: int) -> NDArray[np.uint32]:
    """The first `count` 32-bit words of torch.Generator().manual_seed(seed)."""
    found: NDArray[np.uint32] = np.random.RandomState(seed & MASK).randint(0, 2**32, count, dtype=np.uint32)
    return found


def swaps(seed: int, size: int, count: int) -> Places:
    """What each of the first `count` places [count] is swapped with in torch.randperm(size)."""
    places = np.arange(count)
    return places + words(seed, count) % (size - places)


def first(seed: int, size: int, count: int) -> Places:
    """torch.randperm(size, generator=torch.Generator().manual_seed(seed))[:count]."""
    order = list(range(size))
    for place, other in enumerate(swaps(seed, size, count).tolist()):
        order[place], order[other] = order[other], order[place]
    return np.array(order[:count], np.int64)


def is_among(item: int, swapped: Places) -> bool:
    """Whether `item` ends in the places that `swapped` [count] fills: it is followed, and nothing is shuffled."""
    place, step = item, 0
    while True:
        # It is taken when some step up to its own place names it; else that step moves it on.
        if (swapped[step : place + 1] == place).any():
            return True
        if place >= swapped.size:
            return False
        place, step = int(swapped[place]), place + 1
