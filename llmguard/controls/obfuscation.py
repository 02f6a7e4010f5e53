"""Padding of stream chunks against length analysis, where the client asks for it or the policy demands it."""

from collections.abc import Callable

import msgspec

from llmguard.control import Step
from llmguard.exchange import Exchange
from llmguard.wire.answer import Event
from llmguard.wire.chat_answer import ChatCompletion

BLOCK = 32
"""What a chunk says, as the bytes that are sent, is padded to a multiple of this where the client asks."""
ONE_SIZE = 256
"""The multiple under `pad_stream`: a token, a role and a finish reason fit into one, so that all chunks are alike."""

encode = msgspec.json.Encoder().encode


class Obfuscation(Step):
    """Fills `obfuscation` so that a chunk has one of few lengths on the wire: one, under `pad_stream`.

    Counts bytes as they are written, escapes and all, of text, calls and refusals
    alike. Hides the length of a chunk up to its block. What is left to see: how many chunks there are (about one a
    token), when they come, which of them are longer than a block (log-probabilities, long pieces of an upstream that
    sends several tokens at once), the digits of the counts where usage is asked for; and in `/v1/responses` the last
    events, which repeat the whole text, so its length.
    """

    def __init__(self, random_hex: Callable[[int], str]) -> None:
        self._random_hex = random_hex

    def release(self, exchange: Exchange, event: Event) -> Event:
        """Pad a chunk."""
        block = _block(exchange)
        if not block or isinstance(event, ChatCompletion):
            return event
        missing = block - len(encode(event.choices)) % block
        event.obfuscation = self._random_hex(missing // 2 + 1)[:missing]
        return event


def _block(exchange: Exchange) -> int:
    """What chunks are padded to; 0 where they are not."""
    request, outputs = exchange.request, exchange.policy.outputs
    if not exchange.stream or request is None:
        return 0
    if outputs is not None and outputs.pad_stream:
        return ONE_SIZE
    return BLOCK if request.stream_options is not None and request.stream_options.include_obfuscation else 0
