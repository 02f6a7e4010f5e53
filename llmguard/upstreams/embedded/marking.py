"""A mark as the last step of sampling: the worker's own, where the watermark library is loaded."""

import numpy as np

from llmguard.mark import VLLM, Mark
from llmguard.upstreams.embedded.sampling import Draw
from watermark.marker import Marker, Marking
from watermark.schemes.gumbel import Vllm

UNMARKED_SHARE = 0.02
"""Of the tokens, left to chance. Each hundredth more costs a text of 100 tokens about a hundredth of its evidence."""

LEAD_NATS = 8.0
"""Chance that an answer takes before it is marked: one in 3,000 answers to its prompt begins alike.

With 5, answers to one question were the same and shared their pairs of words more often than unmarked ones.
"""


def marked_draw(mark: Mark, generator: np.random.Generator) -> Draw:
    """What draws the tokens of one choice, marked; raises ValueError for a format that is not sampled here."""
    if mark.scheme != VLLM:
        raise ValueError(f"{mark.scheme} is not a format of this sampler")
    marking = Marking(Vllm(mark.width), unmarked_share=UNMARKED_SHARE, lead=LEAD_NATS)
    return Marker(marking, np.array([mark.key], np.uint64), generator)
