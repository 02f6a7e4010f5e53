"""The uniform that a key gives to a phrase: Philox4x32-10, as elsewhere, of the phrase's 64 bits. Pure."""

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from watermark.prf.philox import State, halves, philox

Floats: TypeAlias = NDArray[np.float64]
Keys: TypeAlias = NDArray[np.uint64]

TAG = np.full(1, 0x574D5345, np.uint32)
HIGH = np.uint64(32)


def uniforms(keys: Keys, identities: NDArray[np.uint64]) -> Floats:
    """u in (0, 1) for keys [k] and phrases [n]: [k, n]."""
    low, high = halves(keys[:, np.newaxis])
    first, second = halves(identities)
    words = philox(State(first, second, TAG, TAG), low, high)
    whole = words.x0.astype(np.uint64) << HIGH | words.x1
    return (whole.astype(np.float64) + 0.5) * 2.0**-64
