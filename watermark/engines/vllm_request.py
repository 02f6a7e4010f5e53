"""What a request to vLLM asks for, as the processors for either runner read it."""

from typing import Protocol

import numpy as np

from watermark.engines.answers import Answer
from watermark.engines.gumbel import Warping
from watermark.engines.vllm_field import FIELD

GREEDY = 1e-5
"""vLLM takes a temperature below it for 0."""
MOST_WIDTH = 64


class Params(Protocol):
    """What is read of vLLM's `SamplingParams`."""

    temperature: float
    top_p: float
    top_k: int
    min_p: float
    extra_args: dict[str, object] | None
    structured_outputs: object


def answer(params: Params, generator: np.random.Generator) -> Answer | None:
    """The answer to be marked; None for one without the field, for greedy decoding and for grammars.

    Raises ValueError for a word that is none of ours, which it does not repeat.
    """
    given = (params.extra_args or {}).get(FIELD)
    if given is None:
        return None
    digits, _, width = given.partition(":") if isinstance(given, str) else ("", "", "")
    if not (len(digits) == 16 and set(digits) <= set("0123456789abcdef") and width.isdecimal()):
        raise ValueError(f"{FIELD} is 16 hex digits, a colon and the width of the context")
    if not 1 <= int(width) <= MOST_WIDTH:
        raise ValueError(f"the width in {FIELD} must be from 1 to {MOST_WIDTH}")
    if params.temperature < GREEDY or params.structured_outputs is not None:
        return None
    warping = Warping(params.temperature, params.top_k, params.top_p, params.min_p)
    return Answer(int(digits, 16), int(width), warping, generator)
