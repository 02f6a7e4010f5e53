"""Nothing of the upstream shows in an answer."""

import hmac

from msgspec import UNSET

from llmguard.control import Step
from llmguard.exchange import Exchange
from llmguard.wire.answer import Event
from llmguard.wire.chat_answer import AnswerMessage, ChatChunk, ChatCompletion, Delta
from llmguard.wire.completions import Completion
from llmguard.wire.pooling import Classifications, PoolingAnswer

FINISH_REASONS = frozenset({"stop", "length", "tool_calls", "content_filter", "function_call"})

_NAMES: dict[type, tuple[str, str]] = {
    ChatCompletion: ("chatcmpl-", "chat.completion"),
    ChatChunk: ("chatcmpl-", "chat.completion.chunk"),
    Completion: ("cmpl-", "text_completion"),
}


class Hygiene(Step):
    """Replaces ids, model names, times and fingerprints by the guard's own.

    What the wire's shapes do not know was dropped when the answer was decoded. Ids of tool
    calls become a keyed digest, alike within an exchange, since an engine's own style of id
    names the engine. Log-probabilities that nobody asked for are taken out. Events are changed in place.
    """

    def __init__(self, key: bytes) -> None:
        self._key = key

    def release(self, exchange: Exchange, event: Event) -> Event:
        """Make the event the guard's own."""
        kind, event.object = _NAMES[type(event)]
        event.id = kind + exchange.id[4:]
        event.created = exchange.created
        event.model = exchange.model
        event.system_fingerprint = None
        asked = exchange.request.logprobs if exchange.request is not None else None
        for choice in event.choices:
            if choice.logprobs and (asked is None or asked is False):  # 0 asks, too, of the older endpoint
                choice.logprobs = None
            if choice.finish_reason is not None and choice.finish_reason not in FINISH_REASONS:
                choice.finish_reason = "stop"
        if isinstance(event, ChatCompletion):
            for whole in event.choices:
                self._calls(exchange, whole.message)
            return event
        event.obfuscation = UNSET
        if isinstance(event, ChatChunk):
            for chunk in event.choices:
                self._calls(exchange, chunk.delta)
        return event

    def reduce(self, exchange: Exchange, answer: PoolingAnswer) -> PoolingAnswer:
        """Make the answer the guard's own."""
        answer.object, answer.model = "list", exchange.model
        if isinstance(answer, Classifications):
            answer.id, answer.created = "classify-" + exchange.id[4:], exchange.created
        return answer

    def _calls(self, exchange: Exchange, said: Delta | AnswerMessage) -> None:
        if not said.tool_calls:
            return
        for call in said.tool_calls:
            if call.id:
                digest = hmac.digest(self._key, f"{exchange.id}\0{call.id}".encode(), "sha256")
                call.id = "call_" + digest.hex()[:24]
            if call.type is not None:
                call.type = "function"
