"""Loops over a prompt's tokens as machine code: NumPy's calls on sixty of them cost ten times what they do.

Compiled when a module is imported, never when a prompt comes, and kept beside it as Python's own
compiled files are; where nothing can be written there, compiled at each start, which takes some seconds.
"""

from collections.abc import Callable
from typing import ParamSpec, TypeVar, cast

from numba import njit, types

P = ParamSpec("P")
R = TypeVar("R")


# Arrays in C's order, by the bits of their unsigned numbers; what is only read may be of either kind.
READ_16, READ_64 = (types.Array(kind, 1, "C", readonly=True) for kind in (types.uint16, types.uint64))
READ_BITS = types.Array(types.float32, 1, "C", readonly=True)
WRITE_8, WRITE_16, WRITE_32, WRITE_64 = (
    types.Array(kind, 1, "C") for kind in (types.uint8, types.uint16, types.uint32, types.uint64)
)


def several(*kinds: types.Type) -> types.Type:
    """The type of a tuple."""
    return cast("types.Type", types.Tuple(kinds))  # type: ignore[no-untyped-call]


def compiled(signature: object) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """A function of numbers and arrays as machine code of this signature; indices are not checked."""

    def build(function: Callable[P, R]) -> Callable[P, R]:
        try:
            return cast("Callable[P, R]", njit(signature, cache=True)(function))
        except RuntimeError:  # no folder to keep it in
            return cast("Callable[P, R]", njit(signature)(function))

    return build
