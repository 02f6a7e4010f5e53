"""What engines sample from, worked out from their fields: a reference to show that a spelling of greed is one."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
LOGITS: Floats = -np.arange(200) / 50.0
"""A model that is unsure: the likeliest of 200 tokens has 2 %, and the next hardly less."""


def softmax(logits: Floats) -> Floats:
    """Probabilities, of -inf none."""
    weights = np.exp(logits - logits.max())
    found: Floats = weights / weights.sum()
    return found


def certainty(fields: Mapping[str, Any], engine: str) -> float:
    """The probability of the likeliest token under these fields of a request, for an engine's order of samplers.

    llama.cpp cuts first and then bends by the temperature; vLLM and SGLang bend first.
    """
    logits = LOGITS.copy()
    for token, bias in (fields.get("logit_bias") or {}).items():
        logits[int(token)] += bias
    for name in ("repetition_penalty", "repeat_penalty"):
        # Of what was said: here the likeliest token, with a positive logit as real ones have.
        logits = np.where(np.arange(logits.size) == 0, (logits + 4) / max(fields.get(name, 1.0), 1e-12), logits + 4)
    names = fields.get("samplers", ["temperature"])
    times = names.count("temperature")
    temperature = max(fields.get("temperature", 1.0) - fields.get("dynatemp_range", 0.0), 1e-9)
    if engine == "llamacpp":
        return _last(cut(logits, fields), fields, temperature**times)
    return _last(cut(logits / temperature, fields), fields, 1.0)


def cut(logits: Floats, fields: Mapping[str, Any]) -> Floats:
    """What is left of the candidates; the others are at -inf."""
    kept = np.ones(logits.size, bool)
    if fields.get("top_n_sigma", -1) >= 0:
        kept &= logits >= logits.max() - fields["top_n_sigma"] * logits.std()
    if fields.get("top_k", 0) > 0:
        kept &= _first(np.argsort(-logits, kind="stable"), fields["top_k"], logits.size)
    if "typical_p" in fields:
        kept &= _typical(softmax(np.where(kept, logits, -np.inf)), fields["typical_p"])
    p = softmax(np.where(kept, logits, -np.inf))
    if "top_p" in fields:
        order = np.argsort(-p, kind="stable")
        kept &= _first(order, max(1, int(np.searchsorted(np.cumsum(p[order]), fields["top_p"] - 1e-12)) + 1), p.size)
    if "min_p" in fields:
        kept &= p >= fields["min_p"] * p.max()
    return np.where(kept, logits, -np.inf)


def _first(order: NDArray[np.int64], count: int, size: int) -> NDArray[np.bool_]:
    found = np.zeros(size, bool)
    found[order[:count]] = True
    return found


def _typical(p: Floats, mass: float) -> NDArray[np.bool_]:
    """Meister et al. 2023: those whose surprise is nearest to the entropy, up to a mass."""
    surprise = -np.log(np.maximum(p, 1e-300))
    order = np.argsort(np.abs(surprise - (p * surprise).sum()), kind="stable")
    return _first(order, max(1, int(np.searchsorted(np.cumsum(p[order]), mass)) + 1), p.size)


def _last(logits: Floats, fields: Mapping[str, Any], temperature: float) -> float:
    """Exclude top choices as often as is asked, then the temperature; the certainty of the mixture."""
    p = softmax(logits)
    above = np.flatnonzero(p >= fields.get("xtc_threshold", 0.1))
    above = above[p[above] > 0]
    often = fields.get("xtc_probability", 0.0) if above.size > 1 else 0.0
    excluded = logits.copy()
    if above.size > 1:
        excluded[np.delete(above, np.argmin(p[above]))] = -np.inf
    mixture = often * softmax(excluded / temperature) + (1 - often) * softmax(logits / temperature)
    return float(mixture.max())
