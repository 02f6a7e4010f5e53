"""Numbers that only the holder of a key can tell, many at a time.

SHAKE-128 with the key ahead of a label that fixes its length: a sponge keyed so is a pseudorandom function of any
output length (Bertoni et al. 2011, "On the security of the keyed sponge construction"), so that neither other labels
nor the rest of the same output tell a number. Philox and its like, seeded by a hash, are faster and promise only the
first of the two: who knows part of a vector's noise could work out the rest.
"""

import hashlib
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float32]

KEY_BYTES = 32
WORD = 4
HALF = np.float32(2.0**-33)
STEP = np.float32(2.0**-32)
TURN = np.float32(2 * np.pi * 2.0**-32)


def subkey(key: bytes, *parts: bytes) -> bytes:
    """A key of 32 bytes for each list of parts, whatever bytes they hold."""
    keyed = hashlib.blake2b(key=key, digest_size=KEY_BYTES)
    for part in parts:
        keyed.update(len(part).to_bytes(8, "big") + part)
    return keyed.digest()


def stream(key: bytes, label: bytes, size: int) -> bytes:
    """So many bytes; `key` has 32."""
    return hashlib.shake_128(key + len(label).to_bytes(8, "big") + label).digest(size)


def normals(places: Sequence[tuple[bytes, bytes]], count: int) -> Floats:
    """[n, count] standard normal numbers up to 6.8, a row for each key and label (Box and Muller 1958).

    A row is the same in any company.
    """
    half = -(-count // 2)
    drawn = b"".join([stream(key, label, 2 * WORD * half) for key, label in places])
    words = np.frombuffer(drawn, "<u4").astype(np.float32).reshape(-1, 2, half)
    radius = np.sqrt(np.float32(-2) * np.log(words[:, 0] * STEP + HALF))
    angle = words[:, 1] * TURN
    found = np.empty_like(words)
    np.multiply(radius, np.cos(angle), out=found[:, 0])
    np.multiply(radius, np.sin(angle), out=found[:, 1])
    return found.reshape(-1, 2 * half)[:, :count]


def normal(key: bytes, label: bytes, count: int) -> Floats:
    """[count] of them for one label."""
    row: Floats = normals([(key, label)], count)[0]
    return row


def signs(key: bytes, label: bytes, count: int) -> Floats:
    """[count] of 1 and -1."""
    bits = np.unpackbits(np.frombuffer(stream(key, label, -(-count // 8)), np.uint8))[:count]
    return bits.astype(np.float32) * 2 - 1
