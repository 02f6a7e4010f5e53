"""What a request to a service of the guard's own may take of a quota, told by its shape alone."""

from collections.abc import Sequence

from msgspec import Struct


class Weight(Struct, frozen=True):
    """The texts that it has embedded, and the most scores that its answer tells."""

    texts: Sequence[str] = ()
    scores: int = 0


def light(asked: object) -> Weight:
    """Of a request that asks no model: it counts as a request."""
    return Weight()
