"""Which tokens a request favours or forbids, and whether one of them is forced."""

from collections.abc import Mapping
from typing import Final

from llmguard.wire.model_request import ModelRequest

FORCING: Final = 20.0
"""A lead of so many temperatures makes odds of e^20: every other token is out of reach."""
FORCING_CUT: Final = 10.0
"""Where unlikely candidates are cut away (`top_p`, `top_k`, `min_p`) odds of e^10 leave none: the first has 0.99995."""


def forces(bias: Mapping[str, float], temperature: float, *, cut: bool) -> bool:
    """Whether one token leads by FORCING temperatures: it alone is drawn, whatever the model thinks.

    By FORCING_CUT, where the unlikely candidates are cut away.

    A bias is added to the logit before it is divided by the temperature. The lead is over the token with the next
    bias, or over those without, whose bias is 0; tokens that lead together are the model's to choose from.
    """
    first, second = 0.0, 0.0
    for value in bias.values():
        if value > first:
            first, second = value, first
        elif value > second:
            second = value
    return first - second >= (FORCING_CUT if cut else FORCING) * temperature


def biased(request: ModelRequest) -> frozenset[str]:
    """The tokens, by id, and the words that a request sets apart from the others."""
    return frozenset(
        (
            *(request.logit_bias or ()),
            *map(str, request.allowed_token_ids or ()),
            *(f"word:{word}" for word in request.bad_words or ()),
        )
    )
