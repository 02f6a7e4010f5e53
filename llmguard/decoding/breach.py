"""What is wrong with a request's decoding, and what would mend it."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Breach:
    """A field that leaves the distribution too narrow.

    `reason` follows the field's name in a sentence and tells the floor: `must be at least 0.3`. `lifted` are the
    fields that would mend it, None for a field that goes; it is None itself where only another request can.
    `asked` is False where the request does not name the field, and its engine's or model's default is what is wrong.
    """

    param: str
    reason: str
    lifted: Mapping[str, float | None] | None
    asked: bool = True
