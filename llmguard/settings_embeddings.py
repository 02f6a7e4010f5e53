"""The settings of vectors that leave."""

from typing import Literal

from pydantic import Field

from llmguard.settings_frozen import Frozen
from llmguard.settings_values import Reason


class Reduced(Frozen):
    """What is told of a vector, and why any of it is: each number helps to invert, or to copy, the model."""

    reason: Reason = Field(description="Why vectors leave at all, for whoever reviews this file.")
    dimensions: int = Field(default=256, ge=16, le=65_536, description="The most numbers of a vector.")
    bits: Literal[1, 4, 8] = Field(default=8, description="How many bits of each number are told.")
    noise: float = Field(
        default=0.02,
        ge=0.005,
        le=1,
        description="The standard deviation of the noise in each number of a vector of length 1.",
    )
