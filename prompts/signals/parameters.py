"""The parameters of requests: a fingerprint by which keys of one client are linked, and sweeps."""

from collections import Counter
from collections.abc import Mapping, Sequence
from zlib import crc32

from prompts.pvalues import at_least

GRANTED = 0.2
"""The share of requests with a parameter value never sent before that is granted."""


def fingerprint(parameters: Mapping[str, object]) -> int:
    """32 bits of a request's parameters, the same in any order."""
    return crc32(repr(sorted((name, repr(value)) for name, value in parameters.items())).encode())


def sweep(values: Sequence[object]) -> float:
    """P of as many fresh values of one parameter or more, where each is fresh with a chance of at most GRANTED.

    A person sets a parameter and keeps it; who goes through its values does not. The first is no surprise.
    """
    fresh = len(Counter(map(repr, values))) - 1
    return at_least(fresh, len(values) - 1, GRANTED) if len(values) > 1 else 1.0
