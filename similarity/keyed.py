"""Numbers that only the holder of a key can tell, and that are the same every time."""

import hashlib
import unicodedata

BITS = 53
HALF = float(1 << (BITS - 1))


def uniform(key: bytes, *parts: bytes) -> float:
    """A number in [-1, 1), uniform over keys; each list of parts has its own, and the same one always.

    `key` has 64 bytes at most, which is what BLAKE2b takes.
    """
    keyed = hashlib.blake2b(key=key, digest_size=8)
    for part in parts:
        keyed.update(len(part).to_bytes(8, "big") + part)
    return (int.from_bytes(keyed.digest(), "big") >> (64 - BITS)) / HALF - 1.0


def said(text: str) -> bytes:
    """16 bytes that stand for a text by its letters and digits, whatever their case and accents, as models read them.

    What has none stands for itself. A vector would not do: its last bits change with the batch that it was made in.
    """
    letters = "".join(filter(str.isalnum, unicodedata.normalize("NFKD", text.casefold())))
    return hashlib.blake2b((letters or text).encode("utf-8", "surrogatepass"), digest_size=16).digest()


def number(value: int) -> bytes:
    """An id as a part."""
    return value.to_bytes(8, "big", signed=True)
