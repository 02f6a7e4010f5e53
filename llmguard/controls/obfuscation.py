"""Padding of stream chunks against length analysis, where the client asks for it."""

from collections.abc import Callable

import msgspec

from llmguard.control import Step
from llmguard.exchange import Exchange
from llmguard.wire.answer import Event
from llmguard.wire.chat_answer import ChatCompletion

BLOCK = 32
"""What a chunk says, as the bytes that are sent, is padded to a multiple of this."""

encode = msgspec.json.Encoder().encode


class Obfuscation(Step):
    """Fills `obfuscation` so that a chunk has one of few lengths on the wire.

    Counts bytes as they are written, escapes and all, of text, calls and refusals
    alike. Hides the length of a chunk up to its block, not how many chunks there are nor when they come.
    """

    def __init__(self, random_hex: Callable[[int], str]) -> None:
        self._random_hex = random_hex

    def release(self, exchange: Exchange, event: Event) -> Event:
        """Pad a chunk."""
        request = exchange.request
        if request is None or request.stream_options is None or not request.stream_options.include_obfuscation:
            return event
        if isinstance(event, ChatCompletion):
            return event
        missing = BLOCK - len(encode(event.choices)) % BLOCK
        event.obfuscation = self._random_hex(missing)[:missing]
        return event
