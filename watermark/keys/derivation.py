"""Keys from one master secret, so that nothing but it must be kept. Pure."""

import hmac
from hashlib import sha256

import numpy as np

from watermark.scheme import Keys

WORD = 8


def derived(master: bytes, *, scheme: str, tenant: str, epoch: int, model: str, columns: int = 1) -> Keys:
    """The key [columns] of a tenant for a scheme, an epoch and a model: 64-bit words of HMAC-SHA256.

    Parts go in with their lengths, so that no two requests share a message. Without the master a
    key tells nothing of another. Raises ValueError for a master of less than 32 bytes.
    """
    if len(master) < 32:
        raise ValueError("the master secret must have at least 32 bytes")
    parts = [part.encode() for part in (scheme, tenant, str(epoch), model)]
    message = b"".join(len(part).to_bytes(4, "big") + part for part in parts)
    words = [
        int.from_bytes(hmac.digest(master, column.to_bytes(4, "big") + message, "sha256")[:WORD], "big")
        for column in range(columns)
    ]
    return np.array(words, np.uint64)


def vllm_pair(key: int) -> Keys:
    """The two keys [2] that vLLM derives from its one."""
    whole = key.to_bytes(WORD, "big")
    words = [int.from_bytes(sha256(name + whole).digest()[:WORD], "big") for name in (b"key_a", b"key_b")]
    return np.array(words, np.uint64)
