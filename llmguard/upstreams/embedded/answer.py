"""The worker's pieces in OpenAI's shapes."""

from collections.abc import Iterable
from typing import Protocol

from llmguard.upstreams.embedded.frames import Finished, Piece
from llmguard.upstreams.embedded.order import MODEL
from llmguard.wire.answer import Event
from llmguard.wire.chat import ChatRequest
from llmguard.wire.chat_answer import AnswerMessage, ChatChunk, ChatCompletion, Choice, ChunkChoice, Delta, Usage
from llmguard.wire.completions import Completion, CompletionChoice
from llmguard.wire.model_request import ModelRequest


class Shape(Protocol):
    """How one endpoint words an answer."""

    def whole(self, texts: list[str], finishes: list[str], usage: Usage) -> Event:
        """The whole answer, choices in order."""
        ...

    def opening(self, choices: int) -> list[Event]:
        """What a stream begins with."""
        ...

    def chunks(self, pieces: Iterable[Piece]) -> list[Event]:
        """The pieces as chunks of a stream."""
        ...

    def closing(self, usage: Usage) -> Event:
        """What a stream ends with: the usage, on a chunk without choices."""
        ...


class ChatShape:
    """The shape of /v1/chat/completions."""

    def whole(self, texts: list[str], finishes: list[str], usage: Usage) -> Event:
        """One choice a text."""
        choices = [
            Choice(message=AnswerMessage(content=text), index=index, finish_reason=finish)
            for index, (text, finish) in enumerate(zip(texts, finishes, strict=True))
        ]
        return ChatCompletion(choices=choices, model=MODEL, usage=usage)

    def opening(self, choices: int) -> list[Event]:
        """A role for each choice."""
        return [_chunk(ChunkChoice(delta=Delta(role="assistant", content=""), index=i)) for i in range(choices)]

    def chunks(self, pieces: Iterable[Piece]) -> list[Event]:
        """A chunk for the text, and one of its own for the end of a choice."""
        found: list[Event] = []
        for piece in pieces:
            if piece.text:
                found.append(_chunk(ChunkChoice(delta=Delta(content=piece.text), index=piece.index)))
            if piece.finish is not None:
                found.append(_chunk(ChunkChoice(delta=Delta(), index=piece.index, finish_reason=piece.finish)))
        return found

    def closing(self, usage: Usage) -> Event:
        """A chunk without choices."""
        return ChatChunk(choices=[], model=MODEL, usage=usage)


class CompletionShape:
    """The shape of /v1/completions."""

    def whole(self, texts: list[str], finishes: list[str], usage: Usage) -> Event:
        """One choice a text."""
        choices = [
            CompletionChoice(text=text, index=index, finish_reason=finish)
            for index, (text, finish) in enumerate(zip(texts, finishes, strict=True))
        ]
        return Completion(choices=choices, model=MODEL, usage=usage)

    def opening(self, choices: int) -> list[Event]:
        """Nothing: a text completion has no roles."""
        return []

    def chunks(self, pieces: Iterable[Piece]) -> list[Event]:
        """A chunk a piece."""
        return [
            Completion(
                choices=[CompletionChoice(text=piece.text, index=piece.index, finish_reason=piece.finish)], model=MODEL
            )
            for piece in pieces
        ]

    def closing(self, usage: Usage) -> Event:
        """A chunk without choices."""
        return Completion(choices=[], model=MODEL, usage=usage)


def _chunk(choice: ChunkChoice) -> ChatChunk:
    return ChatChunk(choices=[choice], model=MODEL)


def shape_of(request: ModelRequest) -> Shape:
    """The shape that the request's endpoint answers in."""
    return ChatShape() if isinstance(request, ChatRequest) else CompletionShape()


def usage_of(finished: Finished) -> Usage:
    """The worker's count as usage."""
    return Usage(
        prompt_tokens=finished.prompt_tokens,
        completion_tokens=finished.completion_tokens,
        total_tokens=finished.prompt_tokens + finished.completion_tokens,
    )
