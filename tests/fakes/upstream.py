"""An upstream that answers by script, without a wire."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import TypeAlias

from llmguard.mark import Mark
from llmguard.upstreams.upstream import TokenCounter
from llmguard.wire.answer import Event
from llmguard.wire.chat import ChatRequest
from llmguard.wire.chat_answer import AnswerMessage, ChatChunk, ChatCompletion, Choice, ChunkChoice, Delta, Usage
from llmguard.wire.completions import Completion, CompletionChoice
from llmguard.wire.model_request import ModelRequest
from llmguard.wire.pooling import (
    Classification,
    Classifications,
    ClassifyRequest,
    Embedding,
    Embeddings,
    PoolingAnswer,
    PoolingRequest,
    texts,
)

Step: TypeAlias = str | Event | asyncio.Event | BaseException
"""A piece of text, a ready-made event, something to wait for, or a failure."""

USAGE = Usage(prompt_tokens=3, completion_tokens=2, total_tokens=5)
ID, MODEL, CREATED, FINGERPRINT = "upstream-id", "upstream-model", 1_700_000_000, "upstream-fingerprint"


class FakeUpstream:
    """Each call plays the next script, and the last one over and over; a script without an end of its own ends well.

    `requests` are those that came (`pooled`, to be labelled or embedded), `marks` what was to be left in their answers,
    `open` the calls under way, `left` the calls that were ended before their script was; `waiting` is set while a call
    waits for an event of its script.
    """

    def __init__(self, *scripts: Sequence[Step], extensions: Sequence[str] = ()) -> None:
        self.scripts: list[Sequence[Step]] = list(scripts) or [("Hello", " you")]
        self.extensions = frozenset(extensions)
        self.ready = True
        self.counter: TokenCounter | None = None
        self.requests: list[ModelRequest] = []
        self.pooled: list[PoolingRequest] = []
        self.marks: list[Mark | None] = []
        self.open = self.left = self.starts = self.closes = 0
        self.waiting = asyncio.Event()

    async def start(self) -> None:
        """Count."""
        self.starts += 1

    async def close(self) -> None:
        """Count."""
        self.closes += 1

    async def ask(self, request: ModelRequest, mark: Mark | None = None) -> Event:
        """The script's texts in one answer, or its one ready-made event."""
        self.marks.append(mark)
        texts: list[str] = []
        async with aclosing(self._play(request)) as steps:
            async for step in steps:
                if not isinstance(step, str):
                    return step
                texts.append(step)
        text = "".join(texts)
        if isinstance(request, ChatRequest):
            choice = Choice(message=AnswerMessage(content=text), finish_reason="stop")
            return ChatCompletion(
                id=ID, created=CREATED, model=MODEL, choices=[choice], usage=USAGE, system_fingerprint=FINGERPRINT
            )
        return Completion(id=ID, model=MODEL, choices=[CompletionChoice(text, finish_reason="stop")], usage=USAGE)

    async def pool(self, request: PoolingRequest) -> PoolingAnswer:
        """A label of two, or the vector (0.6, 0.8), for each text."""
        self.pooled.append(request)
        count = len(texts(request))
        if isinstance(request, ClassifyRequest):
            labels = [Classification(index=i, label="yes", probs=[0.25, 0.75], num_classes=2) for i in range(count)]
            return Classifications(id=ID, created=CREATED, model=MODEL, data=labels, usage=USAGE)
        vectors = [Embedding(index=i, embedding=[0.6, 0.8]) for i in range(count)]
        return Embeddings(data=vectors, model=MODEL, usage=USAGE)

    async def stream(self, request: ModelRequest, mark: Mark | None = None) -> AsyncGenerator[list[Event], None]:
        """A chunk for each text, a last one that says stop, and one with the usage; nothing for an empty script."""
        self.marks.append(mark)
        begun = False
        async with aclosing(self._play(request)) as steps:
            async for step in steps:
                begun = True
                yield [chunk(request, step) if isinstance(step, str) else step]
        if begun:
            last = chunk(request, "")
            last.choices[0].finish_reason = "stop"
            yield [last]
            end = chunk(request, "")
            end.choices, end.usage = [], USAGE
            yield [end]

    async def _play(self, request: ModelRequest) -> AsyncGenerator[str | Event, None]:
        self.requests.append(request)
        self.open += 1
        finished = False
        try:
            for step in self.scripts.pop(0) if len(self.scripts) > 1 else self.scripts[0]:
                if isinstance(step, BaseException):
                    finished = True
                    raise step
                if isinstance(step, asyncio.Event):
                    self.waiting.set()
                    await step.wait()
                else:
                    yield step
            finished = True
        finally:
            self.open -= 1
            self.left += not finished


def chunk(request: ModelRequest, text: str) -> ChatChunk | Completion:
    """One piece of a streamed answer, full of what is the upstream's own."""
    if isinstance(request, ChatRequest):
        return ChatChunk(
            id=ID,
            created=CREATED,
            model=MODEL,
            choices=[ChunkChoice(delta=Delta(content=text))],
            system_fingerprint=FINGERPRINT,
        )
    return Completion(id=ID, created=CREATED, model=MODEL, choices=[CompletionChoice(text)])
