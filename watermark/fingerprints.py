"""What is kept of a text so that parts of it can be known again: keyed hashes of some of its phrases. Pure.

Winnowing (Schleimer, Wilkerson and Aiken 2003): of each window of phrases the one with the least hash, so that every
excerpt of a window and three words more shares one.
"""

from hashlib import blake2b
from typing import Final

from watermark.phrases import phrases

MOST: Final = 32
"""Of a text, about: its windows are as long as that takes."""
SHORTEST_WINDOW: Final = 8
SIZE: Final = 8
MOST_ASKED: Final = 20_000


def hashes(key: bytes, text: str, most: int = MOST_ASKED) -> list[bytes]:
    """The keyed hashes (8 bytes) of the first `most` phrases of a text: without the key they tell nothing."""
    found: list[bytes] = []
    for phrase in phrases(text):
        if len(found) == most:
            break
        found.append(blake2b(phrase, digest_size=SIZE, key=key).digest())
    return found


def fingerprints(key: bytes, text: str) -> list[bytes]:
    """The hashes that are kept: about 32 at most, whatever the length up to 20,000 phrases."""
    found = hashes(key, text)
    window = max(SHORTEST_WINDOW, -(-2 * len(found) // MOST))
    if len(found) <= window:
        return [min(found)] if found else []
    return list(dict.fromkeys(min(found[start : start + window]) for start in range(len(found) - window + 1)))
