"""Which keys a corpus is tested under for picked answers: given in hex, or those of a registry or a bundle."""

from collections.abc import Sequence

import numpy as np

from watermark.keys.choosing import ChoiceError, Held
from watermark.keys.record import KeyRecord
from watermark.phrases import DIGEST
from watermark.scheme import Keys
from watermark.schemes.named import key_words

SCHEME = "selection"
ONE_WORD = "unigram"
"""A scheme whose keys are one word of 64 bits, as these are."""


def picking(keys: Sequence[Held], ids: Sequence[str]) -> tuple[Keys, tuple[str, ...]]:
    """The words [k] and the ids of the keys for selection, or of those that are named; raises `ChoiceError`."""
    known = {key.id: key for key in keys}
    unknown = [id for id in ids if id not in known]
    if unknown:
        raise ChoiceError(f"no watermark key has the id {unknown[0]}")
    chosen = [known[id] for id in dict.fromkeys(ids)] if ids else [key for key in keys if key.scheme == SCHEME]
    for key in chosen:
        if key.scheme != SCHEME or key.tokenizer != DIGEST:
            raise ChoiceError(f"{key.id} is for {key.scheme}, in its tokenizer's tokens")
        if ids and isinstance(key, KeyRecord) and key.revoked_at is not None:
            raise ChoiceError("revoked: its evidence is disowned")
    fit = [key for key in chosen if not (isinstance(key, KeyRecord) and key.revoked_at is not None)]
    if not fit:
        raise ChoiceError("the registry holds no key for selection")
    return np.array([int(key.words[0], 16) for key in fit], np.uint64), tuple(key.id for key in fit)


def picking_given(keys: Sequence[str]) -> tuple[Keys, tuple[str, ...]]:
    """The same of keys in hex, which are called key-1, key-2 …; raises `ChoiceError`."""
    if not keys:
        raise ChoiceError("a --key or a --registry is needed")
    try:
        words = [int(key_words(ONE_WORD, [key])[0]) for key in keys]
    except ValueError as error:
        raise ChoiceError("a key of selection has one word of 1 to 16 hex digits") from error
    return np.array(words, np.uint64), tuple(f"key-{place}" for place in range(1, len(words) + 1))
