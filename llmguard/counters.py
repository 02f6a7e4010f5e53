"""Tokens counted with a model's own tokenizer, where the settings name it or the upstream has it.

Files alone: a tokenizer.json as models come with, or an encoding of OpenAI's that an installed package ships.
"""

import asyncio
import logging
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from tokenizers import Tokenizer

from llmguard.quota.needs import TEMPLATE_TOKENS
from llmguard.settings import Model
from llmguard.tokenizer_files import ENCODINGS, shipped
from llmguard.upstreams.upstream import TokenCounter, Upstream
from llmguard.wire.chat import AnyMessage, ChatRequest, TextFormat
from llmguard.wire.completions import CompletionRequest
from llmguard.wire.content_parts import RefusalPart, TextPart
from llmguard.wire.model_request import ModelRequest
from llmguard.wire.pooling import PoolingRequest, texts

log = logging.getLogger(__name__)

MESSAGE_TOKENS: Final = 8
"""What chat templates put around a message: its markers, its role, line breaks. OpenAI's take 3, Llama's 5."""


class FileCounter:
    """Counts by a tokenizer's file: a text exactly, a chat by its messages and a bound of what the template adds.

    `count` gives a text's tokens, with those that the tokenizer itself puts around it. A chat that holds more than
    text, or that makes its template write more (tools, schemas), is not counted.
    """

    def __init__(self, count: Callable[[str], int]) -> None:
        self._count = count

    def prompt(self, request: ModelRequest | PoolingRequest) -> int | None:
        """The tokens that the model will read, at most; None where only the bytes of the request bound them."""
        if isinstance(request, ChatRequest):
            return self._chat(request)
        if isinstance(request, CompletionRequest):
            prompts = [request.prompt] if isinstance(request.prompt, str) else request.prompt
            return sum(map(self._count, (*prompts, request.suffix or "")))
        return sum(map(self._count, texts(request)))

    def text(self, text: str) -> int:
        """The tokens of a text that it wrote."""
        return self._count(text)

    def _chat(self, request: ChatRequest) -> int | None:
        shaped = request.response_format is not None and not isinstance(request.response_format, TextFormat)
        if request.tools or request.functions or shaped:
            return None
        total = TEMPLATE_TOKENS
        for message in request.messages:
            said = _said(message)
            if said is None:
                return None
            total += MESSAGE_TOKENS + sum(map(self._count, said))
        return total


def _said(message: AnyMessage) -> list[str] | None:
    """The texts of a message; None where it holds something else."""
    if getattr(message, "tool_calls", None) or getattr(message, "function_call", None) is not None:
        return None
    said = [getattr(message, "name", None) or "", getattr(message, "refusal", None) or ""]
    content = message.content
    for part in [content] if isinstance(content, str) else content or ():
        if isinstance(part, str):
            said.append(part)
        elif isinstance(part, TextPart):
            said.append(part.text)
        elif isinstance(part, RefusalPart):
            said.append(part.refusal)
        else:
            return None
    return [text for text in said if text]


def load(name: str) -> FileCounter:
    """The counter of a model's `tokenizer`; raises whatever its library does for a file that is none.

    An encoding is loaded by tiktoken, which would fetch what it does not find: it is shown where to look.
    """
    if name not in ENCODINGS:
        tokenizer = Tokenizer.from_str(Path(name).read_text(encoding="utf-8"))
        # What serves a model's input would cut a long text here, or fill up a short one.
        tokenizer.no_truncation()
        tokenizer.no_padding()
        return FileCounter(lambda text: len(tokenizer.encode(text).ids))
    path = shipped(name)
    if path is None:
        raise FileNotFoundError(name)
    os.environ["TIKTOKEN_CACHE_DIR"] = str(path.parent)
    import tiktoken  # noqa: PLC0415  optional, and large: only where an encoding is named

    encoding = tiktoken.get_encoding(name)
    return FileCounter(lambda text: len(encoding.encode_ordinary(text)))


class Counters:
    """The counter of each public model: of the tokenizer that the settings name, else of its upstream.

    `loaded` are those of the settings before. Until one is loaded its model's requests are bounded by their bytes.
    """

    def __init__(
        self, models: Mapping[str, Model], upstreams: Mapping[str, Upstream], loaded: Mapping[str, TokenCounter]
    ) -> None:
        self._models = models
        self._upstreams = upstreams
        self._missing = {model.tokenizer for model in models.values() if model.tokenizer} - loaded.keys()
        self.loaded: dict[str, TokenCounter] = {
            name: counter for name, counter in loaded.items() if any(name == each.tokenizer for each in models.values())
        }

    @property
    def ready(self) -> bool:
        """Whether all that can be loaded is."""
        return not self._missing

    async def start(self) -> None:
        """Load what is missing, in a thread; what cannot be loaded is told, and its models stay bounded by bytes."""
        names = sorted(self._missing)
        found = await asyncio.gather(*[asyncio.to_thread(load, name) for name in names], return_exceptions=True)
        for name, counter in zip(names, found, strict=True):
            if isinstance(counter, BaseException):
                log.error("tokenizer %s cannot be used (%s): tokens are bounded by bytes", name, type(counter).__name__)
            else:
                self.loaded[name] = counter
        self._missing.clear()

    def of(self, public: str) -> TokenCounter | None:
        """The counter of a public model, where there is one."""
        model = self._models[public]
        if model.tokenizer is not None:
            return self.loaded.get(model.tokenizer)
        return self._upstreams[model.upstream].counter
