"""Probes that no use of a model explains: told by the request itself, not by statistics."""

from collections.abc import Sequence
from dataclasses import dataclass

BIASED = 100
"""Distinct tokens that a principal may bias: instructing a style or a format takes some, a projection takes all."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What of a request a probe shows in."""

    biased: frozenset[int]
    logprobs: bool
    max_tokens: int | None
    prompt_is_tokens: bool = False


def probes(window: Sequence[Asked]) -> tuple[str, ...]:
    """The probes that a window of requests shows, by name.

    `bias_and_logprobs`: both in one request give differences of logits. `biased_tokens`: more
    than BIASED distinct ones. `single_tokens`: at least 20 requests, nine in ten of one token
    and with logprobs. `token_ids`: at least 20 prompts given as ids instead of text.
    """
    found = []
    if any(one.biased and one.logprobs for one in window):
        found.append("bias_and_logprobs")
    if len(frozenset[int]().union(*(one.biased for one in window))) > BIASED:
        found.append("biased_tokens")
    single = sum(one.max_tokens == 1 and one.logprobs for one in window)
    if single >= 20 and single >= 0.9 * len(window):
        found.append("single_tokens")
    if sum(one.prompt_is_tokens for one in window) >= 20:
        found.append("token_ids")
    return tuple(found)
