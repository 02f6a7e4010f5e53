"""Keys from one master secret, so that nothing but it must be kept. Pure."""

from hashlib import sha256

import numpy as np

from watermark.keys.words import WORD, words
from watermark.scheme import Keys


def derived(master: bytes, *, scheme: str, tenant: str, epoch: int, model: str, columns: int = 1) -> Keys:
    """The key [columns] whose words are `words.words`."""
    return np.array(words(master, scheme=scheme, tenant=tenant, epoch=epoch, model=model, columns=columns), np.uint64)


def vllm_pair(key: int) -> Keys:
    """The two keys [2] that vLLM derives from its one."""
    whole = key.to_bytes(WORD, "big")
    pair = [int.from_bytes(sha256(name + whole).digest()[:WORD], "big") for name in (b"key_a", b"key_b")]
    return np.array(pair, np.uint64)
