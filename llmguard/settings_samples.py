"""The settings of prompts that are kept for review."""

from pydantic import Field

from llmguard.settings_frozen import Frozen
from llmguard.settings_values import Seconds


class SampleSettings(Frozen):
    """Samples of prompts for abuse review. Without this block no prompt is kept anywhere."""

    directory: str = Field(
        min_length=1, description="Where they are kept, encrypted under a key derived from `secret`."
    )
    share: float = Field(gt=0, le=1, description="The share of requests whose prompt is kept, chosen by chance.")
    most: int = Field(default=1000, ge=1, le=1_000_000, description="How many are kept; older ones are forgotten.")
    keep: Seconds = Field(default=7 * 86_400.0, description="How long each is kept.")
    max_characters: int = Field(default=8192, ge=1, le=1_000_000, description="How much of a prompt is kept.")
