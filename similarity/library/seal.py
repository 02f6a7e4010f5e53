"""Vectors as the library keeps them: encrypted, one by one."""

import os
from collections.abc import Iterable

import numpy as np
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from similarity.library.database import LibraryError
from similarity.vectors import Vectors

NONCE, TAG = 12, 16


def dimensions(blob: bytes) -> int:
    """How many numbers a sealed vector has."""
    return (len(blob) - NONCE - TAG) // 4


class Seal:
    """AES-256-GCM under a key derived from `key` (32 bytes or more), bound to a store so that none moves to another.

    28 bytes more than the vector's 4·d; random nonces stay distinct for some 2³² vectors a key.
    """

    def __init__(self, key: bytes) -> None:
        if len(key) < 32:
            raise ValueError("a library's key has 32 bytes or more")
        self._cipher = AESGCM(HKDF(SHA256(), 32, None, b"llmguard library vectors").derive(key))

    def sealed(self, vector: Vectors, store: int) -> bytes:
        """A vector [d] as bytes for the file."""
        nonce = os.urandom(NONCE)
        return nonce + self._cipher.encrypt(nonce, vector.astype("<f4").tobytes(), str(store).encode())

    def opened(self, blobs: Iterable[bytes], store: int, dimensions: int) -> Vectors:
        """Vectors [n, d]; raises LibraryError where one is damaged, of another key or another length."""
        owner = str(store).encode()
        try:
            plain = b"".join(self._cipher.decrypt(blob[:NONCE], blob[NONCE:], owner) for blob in blobs)
            return np.frombuffer(plain, "<f4").reshape(-1, dimensions)
        except (InvalidTag, ValueError) as error:
            raise LibraryError("a vector in the library is damaged, or its key is another") from error
