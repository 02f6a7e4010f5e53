"""The unigram mark, where all that an upstream takes is a bias on logits."""

import asyncio
from functools import lru_cache

from msgspec.structs import replace

from llmguard.mark import Mark
from llmguard.wire.model_request import ModelRequest

BYTES = 256
"""A vocabulary begins with the bytes, of which text hardly has any; behind them the commonest tokens come first."""
MOST_BIAS = 100.0
STRENGTH = 2.0


async def biased(request: ModelRequest, mark: Mark) -> ModelRequest:
    """The request with the odds of green tokens raised by e^2, beside what the client biases itself."""
    found = dict(await asyncio.to_thread(bias, mark.key, mark.vocabulary, mark.biased))
    for token, own in (request.logit_bias or {}).items():
        found[token] = max(-MOST_BIAS, min(MOST_BIAS, found.get(token, 0.0) + own))
    return replace(request, logit_bias=found)


@lru_cache(maxsize=256)
def bias(key: int, vocabulary: int, most: int) -> dict[str, float]:
    """The bias of a key: on the commonest `most` of its green tokens."""
    # numpy: for those alone who have text marked in this way.
    from watermark.schemes.unigram import Unigram  # noqa: PLC0415

    green = Unigram(vocabulary).green(key).nonzero()[0]
    common = green[green >= min(BYTES, vocabulary // 2)][:most]
    return {str(token): STRENGTH for token in common.tolist()}
