"""Writes the answer of `/v1/responses`: one Response, or the events that build it up."""

from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from llmguard.errors import Denial
from llmguard.wire.answer import Event
from llmguard.wire.chat_answer import ChatChunk, ChatCompletion, ChunkChoice, DeltaToolCall, Usage
from llmguard.wire.errors import error_body
from llmguard.wire.responses import ResponsesRequest
from llmguard.wire.responses_answer import (
    OutputCall,
    OutputItem,
    OutputMessage,
    RefusalPart,
    Status,
    TextPart,
    TokenLogprob,
    item_id,
    output_items,
    response,
    token_logprobs,
    why_incomplete,
)

encode = msgspec.json.Encoder().encode


class _OpenCall:
    """A function call that is being written."""

    __slots__ = ("arguments", "item", "place")

    def __init__(self, item: OutputCall, place: int) -> None:
        self.item = item
        self.place = place
        self.arguments: list[str] = []


class ResponsesRenderer:
    """Writes one answer, in the order of events that OpenAI has.

    A message ends when a call begins, and text after that begins another one. Calls end with the
    answer, so that pieces of several may come in any order. Only the last item can be incomplete.
    An answer of nothing is a message of no text. There is no `[DONE]`: the last event says it.
    """

    __slots__ = (
        "_asked",
        "_calls",
        "_created",
        "_finish_reason",
        "_frames",
        "_ident",
        "_logprobs",
        "_message",
        "_output",
        "_part",
        "_pieces",
        "_sequence",
    )

    def __init__(self, asked: ResponsesRequest, ident: str, created: int) -> None:
        self._asked = asked
        self._ident = ident
        self._created = created
        self._sequence = 0
        self._frames: list[bytes] = []
        self._output: list[OutputItem] = []
        self._calls: dict[int, _OpenCall] = {}
        self._message: OutputMessage | None = None
        # The last part of the open message, and its text so far.
        self._part: TextPart | RefusalPart | None = None
        self._pieces: list[str] = []
        self._logprobs: list[TokenLogprob] = []
        self._finish_reason: str | None = None

    def whole(self, event: Event) -> bytes:
        """The Response."""
        if not isinstance(event, ChatCompletion):
            raise TypeError(type(event).__name__)
        choice = event.choices[0] if event.choices else None
        self._output = output_items(choice, self._ident)
        self._finish_reason = choice.finish_reason if choice else None
        status = self._final_status()
        self._output[-1].status = status
        return encode(self._response(status, event.usage))

    def chunks(self, events: Sequence[Event]) -> bytes:
        """The events for these chunks; the first ones come after those that open every stream."""
        self._open()
        for event in events:
            if not isinstance(event, ChatChunk):
                raise TypeError(type(event).__name__)
            for choice in event.choices[:1]:
                self._add(choice, event.obfuscation)
        return self._flush()

    def end(self, usage: Usage | None) -> bytes:
        """The events that close what is open, and the whole Response."""
        self._open()
        if not self._output:
            self._open_part(TextPart("", [], []))
        status = self._final_status()
        last = self._output[-1]
        for call in self._calls.values():
            self._close_call(call, status if call.item is last else "completed")
        self._close_message(status)
        kind = "response.completed" if status == "completed" else "response.incomplete"
        self._emit(kind, response=self._response(status, usage))
        return self._flush()

    def error(self, denial: Denial) -> bytes:
        """The documented `error` event, which also holds the `error` object that the SDKs raise."""
        error = msgspec.json.decode(error_body(denial))["error"]
        self._emit("error", code=error["code"], message=error["message"], param=error["param"], error=error)
        return self._flush()

    # --- what a chunk adds ------------------------------------------------------------------

    def _open(self) -> None:
        if self._sequence == 0:
            self._emit("response.created", response=self._response("in_progress", None))
            self._emit("response.in_progress", response=self._response("in_progress", None))

    def _add(self, choice: ChunkChoice, obfuscation: str | UnsetType) -> None:
        delta = choice.delta
        padding = {} if obfuscation is UNSET else {"obfuscation": obfuscation}
        if delta.content:
            if type(self._part) is not TextPart:
                self._open_part(TextPart("", [], []))
            logprobs = token_logprobs(choice.logprobs.content) if choice.logprobs else []
            self._logprobs += logprobs
            self._add_to_part("response.output_text.delta", delta.content, logprobs=logprobs, **padding)
        if delta.refusal:
            if type(self._part) is not RefusalPart:
                self._open_part(RefusalPart(""))
            self._add_to_part("response.refusal.delta", delta.refusal, **padding)
        for piece in delta.tool_calls or ():
            self._add_to_call(piece, padding)
        if choice.finish_reason:
            self._finish_reason = choice.finish_reason

    def _add_to_part(self, kind: str, piece: str, **more: Any) -> None:
        self._pieces.append(piece)
        self._emit(kind, **self._place(), delta=piece, **more)

    def _add_to_call(self, piece: DeltaToolCall, padding: dict[str, Any]) -> None:
        function = piece.function
        call = self._calls.get(piece.index)
        if call is None:
            call = self._open_call(piece, (function.name if function else None) or "")
        if function is None:
            return
        # A name comes whole; some upstreams repeat it with every piece.
        call.item.name = call.item.name or function.name or ""
        if function.arguments:
            call.arguments.append(function.arguments)
            self._emit(
                "response.function_call_arguments.delta",
                item_id=call.item.id,
                output_index=call.place,
                delta=function.arguments,
                **padding,
            )

    # --- items and parts --------------------------------------------------------------------

    def _open_part(self, part: TextPart | RefusalPart) -> None:
        self._close_part()
        if self._message is None:
            message = OutputMessage(item_id("msg", self._ident, len(self._output)), [], "in_progress")
            self._emit("response.output_item.added", output_index=len(self._output), item=message)
            self._output.append(message)
            self._message = message
        self._message.content.append(part)
        self._part = part
        self._emit("response.content_part.added", **self._place(), part=part)

    def _close_part(self) -> None:
        part = self._part
        if part is None:
            return
        text = "".join(self._pieces)
        if isinstance(part, TextPart):
            part.text, part.logprobs = text, self._logprobs
            self._emit("response.output_text.done", **self._place(), text=text, logprobs=self._logprobs)
        else:
            part.refusal = text
            self._emit("response.refusal.done", **self._place(), refusal=text)
        self._emit("response.content_part.done", **self._place(), part=part)
        self._part, self._pieces, self._logprobs = None, [], []

    def _close_message(self, status: Status) -> None:
        message = self._message
        if message is None:
            return
        self._close_part()
        message.status = status
        self._emit("response.output_item.done", output_index=len(self._output) - 1, item=message)
        self._message = None

    def _open_call(self, piece: DeltaToolCall, name: str) -> _OpenCall:
        self._close_message("completed")
        place = len(self._output)
        call_id = piece.id or item_id("call", self._ident, piece.index)
        item = OutputCall(item_id("fc", self._ident, place), call_id, name, "", "in_progress")
        self._output.append(item)
        self._emit("response.output_item.added", output_index=place, item=item)
        call = self._calls[piece.index] = _OpenCall(item, place)
        return call

    def _close_call(self, call: _OpenCall, status: Status) -> None:
        item = call.item
        item.arguments, item.status = "".join(call.arguments), status
        self._emit(
            "response.function_call_arguments.done",
            item_id=item.id,
            output_index=call.place,
            name=item.name,
            arguments=item.arguments,
        )
        self._emit("response.output_item.done", output_index=call.place, item=item)

    # --- frames -----------------------------------------------------------------------------

    def _place(self) -> dict[str, Any]:
        """Where the open part is: the open message is the last item, the open part its last."""
        message = self._message
        assert message is not None
        return {
            "item_id": message.id,
            "output_index": len(self._output) - 1,
            "content_index": len(message.content) - 1,
        }

    def _final_status(self) -> Status:
        return "incomplete" if why_incomplete(self._finish_reason) else "completed"

    def _response(self, status: Status, usage: Usage | None) -> Any:
        reason = why_incomplete(self._finish_reason) if status == "incomplete" else None
        output = [] if status == "in_progress" else self._output
        return response(self._asked, self._ident, self._created, output, status, reason, usage)

    def _emit(self, kind: str, **fields: Any) -> None:
        data = encode({"type": kind, "sequence_number": self._sequence, **fields})
        self._frames.append(b"event: %b\ndata: %b\n\n" % (kind.encode(), data))
        self._sequence += 1

    def _flush(self) -> bytes:
        written = b"".join(self._frames)
        self._frames.clear()
        return written
