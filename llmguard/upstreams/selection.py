"""The mark of upstreams that only sample: several candidates are asked for, and a key picks the one that is given.

All of them are used: the usage of the answer is that of all candidates.
"""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from typing import TypeAlias

from msgspec.structs import replace

from llmguard.mark import Mark
from llmguard.upstreams.failures import bad_answer
from llmguard.upstreams.upstream import Upstream
from llmguard.wire.answer import Event
from llmguard.wire.chat import AssistantMessage, ChatRequest
from llmguard.wire.chat_answer import ChatChunk, ChatCompletion, Choice, ChunkChoice, Delta, Usage
from llmguard.wire.completions import Completion, CompletionChoice, CompletionRequest
from llmguard.wire.model_request import ModelRequest

Candidate: TypeAlias = Choice | CompletionChoice
Whole: TypeAlias = ChatCompletion | Completion

MOST_TOKENS = 4096
"""Of an answer in segments that names no cap."""


async def ask(upstream: Upstream, request: ModelRequest, mark: Mark) -> Event:
    """The whole answer, each of its choices picked of `mark.candidates`; raises UpstreamFailure."""
    answers = await _candidates(upstream, request, mark)
    groups: dict[int, list[Candidate]] = {}
    for answer in answers:
        for choice in answer.choices:
            # One call for all numbers them through: those of a choice stand together.
            groups.setdefault(choice.index // mark.candidates if mark.together else choice.index, []).append(choice)
    chosen = []
    for index, group in sorted(groups.items()):
        best = group[await asyncio.to_thread(_pick, mark.key, [_text(choice) for choice in group])]
        best.index = index
        chosen.append(best)
    first = answers[0]
    first.choices = chosen  # type: ignore[assignment]  # each kind of answer has its own kind of choices
    first.usage = _sum([answer.usage or None for answer in answers])
    return first


async def stream(upstream: Upstream, request: ModelRequest, mark: Mark) -> AsyncGenerator[list[Event], None]:
    """The same in chunks: one for a whole answer, or one for each segment; raises UpstreamFailure."""
    plain = replace(request, stream=None, stream_options=None)
    if not mark.segment or not _continues(request, mark):
        yield _chunks(await ask(upstream, plain, mark))
        return
    written, left = "", _cap(request)
    used: list[Usage | None] = []
    while True:
        answer = await ask(upstream, _continued(plain, written, min(mark.segment, left)), mark)
        (choice,) = answer.choices
        left -= mark.segment
        over = choice.finish_reason != "length" or left <= 0
        written += _text(choice)
        used.append(answer.usage or None)
        if not over:
            choice.finish_reason = None
        answer.usage = _sum(used)
        yield _chunks(answer) if over else _chunks(answer)[:-1]
        if over:
            return


async def _candidates(upstream: Upstream, request: ModelRequest, mark: Mark) -> Sequence[Whole]:
    if mark.together:
        found = [await upstream.ask(replace(request, n=(request.n or 1) * mark.candidates))]
    else:
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(upstream.ask(request)) for _ in range(mark.candidates)]
        except ExceptionGroup as error:
            raise error.exceptions[0] from error  # the others were ended with it
        found = [task.result() for task in tasks]
    wholes = [answer for answer in found if not isinstance(answer, ChatChunk)]
    if len(wholes) < len(found) or not all(answer.choices for answer in wholes):
        raise bad_answer()
    return wholes


def _pick(key: int, texts: Sequence[str]) -> int:
    # numpy and scipy: for those alone who have text marked in this way.
    from numpy.random import default_rng  # noqa: PLC0415

    from watermark.selection.pick import pick  # noqa: PLC0415

    return pick(key, texts, default_rng())


def _text(choice: Candidate | ChunkChoice) -> str:
    if isinstance(choice, CompletionChoice):
        return choice.text
    return (choice.message.content or "") if isinstance(choice, Choice) else ""


def _sum(used: Sequence[Usage | None]) -> Usage | None:
    known = [usage for usage in used if usage is not None]
    if len(known) < len(used):
        return None
    read, made = (sum(getattr(usage, name) for usage in known) for name in ("prompt_tokens", "completion_tokens"))
    return Usage(prompt_tokens=read, completion_tokens=made, total_tokens=read + made)


def _continues(request: ModelRequest, mark: Mark) -> bool:
    """Whether the upstream goes on where a segment ended: one answer to one prompt."""
    if request.n not in (None, 1):
        return False
    if isinstance(request, CompletionRequest):
        return isinstance(request.prompt, str)
    return mark.continuing and not request.continue_final_message


def _cap(request: ModelRequest) -> int:
    own = request.max_completion_tokens if isinstance(request, ChatRequest) else None
    return own or request.max_tokens or (16 if isinstance(request, CompletionRequest) else MOST_TOKENS)


def _continued(request: ModelRequest, written: str, most: int) -> ModelRequest:
    """The request for what follows `written`, in `most` tokens."""
    if isinstance(request, CompletionRequest):
        return replace(request, prompt=f"{request.prompt}{written}", max_tokens=most)
    capped = replace(request, max_tokens=most, max_completion_tokens=None)
    if not written:
        return capped
    messages = [*request.messages, AssistantMessage(content=written)]
    return replace(capped, messages=messages, continue_final_message=True)


def _chunks(answer: Event) -> list[Event]:
    """A whole answer as what a stream has: its text, its end, and the usage on a chunk without choices."""
    usage = answer.usage or None
    if isinstance(answer, ChatCompletion):
        begun = [
            ChunkChoice(
                index=choice.index,
                delta=Delta(role="assistant", content=choice.message.content, refusal=choice.message.refusal),
                finish_reason=choice.finish_reason,
                **({"logprobs": choice.logprobs} if choice.logprobs is not None else {}),
            )
            for choice in answer.choices
        ]
        return [ChatChunk(choices=begun), ChatChunk(choices=[], usage=usage)]
    if isinstance(answer, Completion):
        return [Completion(choices=answer.choices), Completion(choices=[], usage=usage)]
    return [answer]
