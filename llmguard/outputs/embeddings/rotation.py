"""A secret orthogonal transform, of any length and of no memory to speak of."""

import numpy as np

from llmguard.outputs.embeddings.keystream import Floats, signs

ROUNDS = 3


class Rotation:
    """Three rounds of secret signs and a discrete Hartley transform (Yu et al. 2016, "Orthogonal Random Features").

    Linear and orthogonal: lengths and inner products stay as they are. A random matrix does the same, and takes d²
    numbers a tenant and d³ steps to be made, on the path of a request. Neither is a defence once d pairs are known.
    """

    __slots__ = ("_signs",)

    def __init__(self, key: bytes, size: int) -> None:
        self._signs = [signs(key, b"signs" + bytes((number,)), size) for number in range(ROUNDS)]

    def __call__(self, rows: Floats) -> Floats:
        """[n, size] turned."""
        for each in self._signs:
            rows = _hartley(rows * each)
        return rows

    def back(self, rows: Floats) -> Floats:
        """[n, size] turned back."""
        for each in reversed(self._signs):
            rows = _hartley(rows) * each
        return rows


def _hartley(rows: Floats) -> Floats:
    """Its own inverse (Hartley 1942)."""
    found = np.fft.fft(rows, axis=-1, norm="ortho")
    return np.asarray(found.real - found.imag, np.float32)
