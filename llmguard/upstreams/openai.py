"""An upstream that speaks OpenAI's wire: vLLM, SGLang, OpenAI itself, and most others.

Answers are decoded by whitelist, so what an engine adds of its own never gets further.
"""

from collections.abc import AsyncGenerator, Mapping
from operator import attrgetter
from typing import Final, TypeVar
from urllib.parse import urlsplit

import msgspec
from msgspec.structs import replace

from llmguard.decoding.engines import ENGINES
from llmguard.errors import UpstreamFailure
from llmguard.mark import SGLANG, VLLM, Mark
from llmguard.outputs.scores import probable
from llmguard.settings import OpenAIUpstream
from llmguard.upstreams.failures import bad_answer, from_status, unreachable
from llmguard.upstreams.http import Answer, HttpClient
from llmguard.upstreams.upstream import TokenCounter
from llmguard.wire.answer import Event
from llmguard.wire.chat import ChatRequest, StreamOptions
from llmguard.wire.chat_answer import ChatChunk, ChatCompletion
from llmguard.wire.completions import Completion, CompletionRequest
from llmguard.wire.model_request import ModelRequest
from llmguard.wire.pooling import (
    Classifications,
    ClassifyRequest,
    EmbeddingRequest,
    Embeddings,
    PoolingAnswer,
    PoolingRequest,
    texts,
)
from llmguard.wire.sse import EventReader, EventTooLarge
from watermark.engines.vllm_field import FIELD, word

NEWER: Final = ("api.openai.com", ".openai.azure.com")
"""Hosts that know `max_completion_tokens`."""
LARGEST_ANSWER: Final = 32 * 1024 * 1024
LINGER_S: Final = 0.05
"""How long a finished stream may take to end its body, so that its connection can be used again."""
UNREADABLE: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What decoding can end in: not JSON or not this shape, not UTF-8, nested without end."""
PATHS: Final[Mapping[type, str]] = {
    ChatRequest: "/chat/completions",
    CompletionRequest: "/completions",
    EmbeddingRequest: "/embeddings",
    ClassifyRequest: "/classify",
}
VERSION: Final = "/v1"
UNVERSIONED: Final = {"vllm": (ClassifyRequest,)}
"""What an engine serves beside OpenAI's routes rather than under them."""

Pooled = TypeVar("Pooled", Classifications, Embeddings)

_encode = msgspec.json.Encoder().encode
_chat: msgspec.json.Decoder[Event] = msgspec.json.Decoder(ChatCompletion)
_chat_chunk: msgspec.json.Decoder[Event] = msgspec.json.Decoder(ChatChunk)
_completion: msgspec.json.Decoder[Event] = msgspec.json.Decoder(Completion)
_classifications = msgspec.json.Decoder(Classifications)
_embeddings = msgspec.json.Decoder(Embeddings)


class OpenAI:
    """Relays over one pool of connections."""

    def __init__(self, settings: OpenAIUpstream) -> None:
        self._timeout_s = settings.timeout_s
        self._extensions = ENGINES[settings.engine].fields
        headers = {"content-type": "application/json", "accept": "*/*", "accept-encoding": "identity"}
        if settings.api_key is not None:
            headers["authorization"] = f"Bearer {settings.api_key.get_secret_value()}"
        host = urlsplit(settings.base_url).hostname or ""
        # OpenAI's newer models refuse `max_tokens`; elsewhere `max_completion_tokens` may be passed over without a
        # word, and with it the quota's cap.
        self._newer = host.endswith(NEWER)
        root = settings.base_url.removesuffix(VERSION)
        version = settings.base_url[len(root) :]
        aside = UNVERSIONED.get(settings.engine, ())
        self._paths = {kind: path if kind in aside else version + path for kind, path in PATHS.items()}
        self._client = HttpClient(root, headers, connect_timeout_s=settings.connect_timeout_s)

    @property
    def extensions(self) -> frozenset[str]:
        """What the configured engine knows beyond OpenAI's fields."""
        return self._extensions

    @property
    def counter(self) -> TokenCounter | None:
        """None: which tokenizer its models have is not known here."""
        return None

    @property
    def ready(self) -> bool:
        """Always: the pool opens by itself."""
        return True

    async def start(self) -> None:
        """Nothing to load."""

    async def ask(self, request: ModelRequest, mark: Mark | None = None) -> Event:
        """The whole answer within `timeout_s`; raises UpstreamFailure."""
        answer = await self._post(request, mark)
        try:
            _check(answer)
            body = await answer.whole(LARGEST_ANSWER)
        finally:
            answer.close()
        decoder = _chat if isinstance(request, ChatRequest) else _completion
        try:
            event = decoder.decode(body)
        except UNREADABLE as error:
            raise bad_answer() from error
        if not event.choices:
            raise bad_answer()
        return event

    async def pool(self, request: PoolingRequest) -> PoolingAnswer:
        """The answer within `timeout_s`, one item a text; raises UpstreamFailure."""
        answer = await self._client.post(self._paths[type(request)], _encode(request), timeout_s=self._timeout_s)
        try:
            _check(answer)
            body = await answer.whole(LARGEST_ANSWER)
        finally:
            answer.close()
        try:
            if isinstance(request, ClassifyRequest):
                labels = _in_order(_classifications.decode(body), request)
                if not all(probable(item.probs) for item in labels.data):
                    raise bad_answer()
                return labels
            return _in_order(_embeddings.decode(body), request)
        except UNREADABLE as error:
            raise bad_answer() from error

    async def stream(self, request: ModelRequest, mark: Mark | None = None) -> AsyncGenerator[list[Event], None]:
        """The chunks as they come, no more than `timeout_s` apart; raises UpstreamFailure, also for a missing end."""
        decoder = _chat_chunk if isinstance(request, ChatRequest) else _completion
        asked = replace(request, stream=True, stream_options=StreamOptions(include_usage=True))
        answer = await self._post(asked, mark)
        try:
            _check(answer)
            reader = EventReader()
            finished = False
            while block := await answer.some():
                events, end = _decode(reader, block, decoder)
                if events:
                    finished = finished or any(choice.finish_reason for event in events for choice in event.choices)
                    answer.rest()
                    yield events
                    # Only events keep a stream alive: comments alone do not.
                    answer.extend(self._timeout_s)
                if isinstance(end, UpstreamFailure):
                    raise end
                if end:
                    await _drain(answer)
                    return
            if not finished:
                raise unreachable()
        finally:
            answer.close()

    async def _post(self, request: ModelRequest, mark: Mark | None) -> Answer:
        if not self._newer and isinstance(request, ChatRequest) and request.max_completion_tokens is not None:
            request = replace(request, max_tokens=request.max_completion_tokens, max_completion_tokens=None)
        body = _encode(request)
        if mark is not None or request.continue_final_message:
            body = _encode({**msgspec.to_builtins(request), **_fields(request, mark)})
        return await self._client.post(self._paths[type(request)], body, timeout_s=self._timeout_s)

    async def close(self) -> None:
        """Close the pool."""
        self._client.close()


def _fields(request: ModelRequest, mark: Mark | None) -> dict[str, object]:
    """What the engine is told besides: no client can set these, since the shapes of requests do not know them."""
    found: dict[str, object] = {}
    if mark is not None and mark.scheme == SGLANG:
        found["watermark"] = {"key": f"{mark.key:016x}"}
    if mark is not None and mark.scheme == VLLM:
        found["vllm_xargs"] = {FIELD: word(mark.key, mark.width)}
    if request.continue_final_message:
        # vLLM begins a new message unless it is told not to, and refuses to do both.
        found["add_generation_prompt"] = False
    return found


def _in_order(answer: Pooled, request: PoolingRequest) -> Pooled:
    answer.data.sort(key=attrgetter("index"))
    if [item.index for item in answer.data] != list(range(len(texts(request)))):
        raise bad_answer()
    return answer


def _check(answer: Answer) -> None:
    if answer.status != 200:
        raise from_status(answer.status, answer.headers.get(b"retry-after", b"").decode("latin-1"))
    if answer.headers.get(b"content-encoding", b"identity") != b"identity":
        raise bad_answer()


def _decode(
    reader: EventReader, block: bytes, decoder: "msgspec.json.Decoder[Event]"
) -> tuple[list[Event], UpstreamFailure | bool]:
    """The events that a block completes, and whether the stream ends with them: well, or broken."""
    events: list[Event] = []
    try:
        for frame in reader.feed(block):
            if frame == b"[DONE]":
                return events, True
            events.append(decoder.decode(frame))
    except (*UNREADABLE, EventTooLarge):
        # What came whole before the fault is still the client's.
        return events, bad_answer()
    return events, False


async def _drain(answer: Answer) -> None:
    """Read to the end of a finished body, briefly: then its connection can be used again."""
    answer.extend(LINGER_S)
    try:
        while await answer.some():
            pass
    except UpstreamFailure:
        return
