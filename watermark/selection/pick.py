"""Picking one of several answers by a key (Bahri and Wieting 2024): over random keys, a fair draw among them. Pure."""

from collections import Counter
from collections.abc import Sequence

import numpy as np
from scipy import special

from watermark.phrases import identities
from watermark.selection.irwin_hall import scores
from watermark.selection.keyed import uniforms


def pick(key: int, texts: Sequence[str], generator: np.random.Generator) -> int:
    """The place of the answer to give, of texts [m], at least one.

    Each phrase has a keyed uniform; one that several texts share goes to one of them by chance, so that their scores
    are independent. With u = F(sum of a text's uniforms), F that sum's distribution, and c copies of the text the one
    with the highest u^(m/c) is given. A text without a phrase of its own draws its u.
    """
    copies = Counter(texts)
    different = list(copies)
    owned = _dealt([identities(text) for text in different], generator)
    best, chosen = -np.inf, 0
    for place, text in enumerate(different):
        log_u = _log_u(key, owned[place], generator) / copies[text]
        if log_u > best:
            best, chosen = log_u, place
    return texts.index(different[chosen])


def _dealt(held: Sequence[Sequence[int]], generator: np.random.Generator) -> list[list[int]]:
    holders: dict[int, list[int]] = {}
    for place, phrases in enumerate(held):
        for phrase in phrases:
            holders.setdefault(phrase, []).append(place)
    owned: list[list[int]] = [[] for _ in held]
    for phrase, places in holders.items():
        owned[places[0] if len(places) == 1 else places[generator.integers(len(places))]].append(phrase)
    return owned


def _log_u(key: int, phrases: Sequence[int], generator: np.random.Generator) -> float:
    if not phrases:
        return float(np.log(generator.random()))
    found = uniforms(np.array([key], np.uint64), np.array(phrases, np.uint64))
    return float(special.log_ndtr(scores(found.sum(axis=1), len(phrases)))[0])
