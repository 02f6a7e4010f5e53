"""Every other provider, through the litellm library.

litellm can do far more than relay a call: fetch price lists and images, run tools, retry, log,
drop what a provider does not know. Here it does none of that: see `litellm_library`.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator
from typing import Any

from llmguard.decoding.engines import ENGINES
from llmguard.errors import Denial, UpstreamFailure
from llmguard.mark import Mark
from llmguard.settings import LiteLLMUpstream
from llmguard.upstreams.litellm_library import Library, load
from llmguard.upstreams.litellm_wire import arguments, chunk, made_up_end, whole
from llmguard.upstreams.upstream import TokenCounter
from llmguard.wire.answer import Event
from llmguard.wire.model_request import ModelRequest
from llmguard.wire.pooling import PoolingAnswer, PoolingRequest

log = logging.getLogger(__name__)

STREAMED = {"stream": True, "stream_options": {"include_usage": True}}


class LiteLLM:
    """An upstream of kind `litellm`; the model's name carries the provider, as in `anthropic/claude-sonnet-4-5`.

    Text completions are asked as a chat of one message, because most providers have nothing else. Without an
    `api_key` litellm looks for the provider's own environment variable.
    """

    extensions = ENGINES["litellm"].fields

    def __init__(self, settings: LiteLLMUpstream) -> None:
        self._settings = settings
        self._library: Library | None = None

    @property
    def counter(self) -> TokenCounter | None:
        """None: which tokenizer its models have is not known here."""
        return None

    @property
    def ready(self) -> bool:
        """Always: the library is imported by the first request, in a thread."""
        return True

    async def start(self) -> None:
        """Nothing to load before it is needed."""

    async def ask(self, request: ModelRequest, mark: Mark | None = None) -> Event:
        """The whole answer, within `timeout_s`; raises UpstreamFailure."""
        library = await self._loaded()
        asked = arguments(request)
        with library.translated(asked):
            async with asyncio.timeout(self._settings.timeout_s):
                answer = await library.acompletion(**asked, **self._options(library))
            return whole(request, answer.model_dump(exclude_none=True))

    async def pool(self, request: PoolingRequest) -> PoolingAnswer:
        """Not served: what providers return there has no shape in common."""
        raise UpstreamFailure(Denial("model_not_found", param="model"), retryable=False)

    async def stream(self, request: ModelRequest, mark: Mark | None = None) -> AsyncGenerator[list[Event], None]:
        """The chunks, one at a time, none later than `timeout_s` after the one before; raises UpstreamFailure."""
        library = await self._loaded()
        asked = arguments(request)
        with library.translated(asked):
            async with asyncio.timeout(self._settings.timeout_s):
                chunks = await library.acompletion(**asked, **STREAMED, **self._options(library))
        try:
            while True:
                with library.translated(asked):
                    async with asyncio.timeout(self._settings.timeout_s):
                        received = await anext(chunks, None)
                    if received is None:
                        return
                    event = chunk(request, received.model_dump(exclude_none=True))
                if event is not None:
                    if made_up_end(chunks, event):
                        raise UpstreamFailure(Denial("upstream_error"), retryable=True)
                    yield [event]
        finally:
            await chunks.aclose()

    async def close(self) -> None:
        """Closes litellm's connections. They belong to the process: every upstream of this kind loses its own."""
        if self._library is not None:
            await self._library.close()

    async def _loaded(self) -> Library:
        if self._library is None:
            try:
                self._library = await asyncio.to_thread(load)
            except ImportError as error:
                log.error("litellm cannot be imported (%s): pip install 'llmguard[litellm]'", error.name)
                raise UpstreamFailure(Denial("upstream_error"), retryable=True) from error
        return self._library

    def _options(self, library: Library) -> dict[str, Any]:
        """What every call is told besides the request: where, with which key, how long, and to do nothing more."""
        settings = self._settings
        return {
            "api_key": settings.api_key.get_secret_value() if settings.api_key else None,
            "api_base": settings.api_base,
            # litellm heeds the connect timeout for some providers; for all, `timeout_s` bounds it too.
            "timeout": library.timeout(settings.timeout_s, connect=settings.connect_timeout_s),
            "num_retries": 0,
            "max_retries": 0,
            # A field that the provider does not have is refused, never dropped in silence.
            "drop_params": False,
            # With any tools at all litellm loads its MCP gateway: that needs a package which its extra
            # does not bring, and would run tools on the guard's side.
            "_skip_mcp_handler": True,
        }
