"""The litellm library, kept silent and at home, and its errors as ours. The only importer of litellm.

Left to itself litellm reads `.env`, fetches a price list and a list of beta headers, downloads tokenizers
and images, and writes prompts and provider errors to its log. `load` turns all of it off, for the process.
"""

import logging
import os
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from llmguard.errors import Denial, UpstreamFailure

log = logging.getLogger(__name__)

ENVIRONMENT = {
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "LITELLM_LOCAL_ANTHROPIC_BETA_HEADERS": "True",
    "LITELLM_LOCAL_BLOG_POSTS": "True",
    "LITELLM_LOCAL_POLICY_TEMPLATES": "True",
    "LITELLM_MODE": "PRODUCTION",  # any other mode loads .env
    "MAX_IMAGE_URL_DOWNLOAD_SIZE_MB": "0",  # 0 turns downloads off
    "JSON_LOGS": "false",  # true replaces sys.excepthook and the event loop's exception handler
}
"""Read by litellm when it is imported."""

SILENT = ("LiteLLM", "LiteLLM Router", "LiteLLM Proxy")
"""Loggers that write prompts and provider texts at every level."""

QUIET = ("openai", "httpx", "httpcore", "botocore")
"""Loggers that write request bodies or URLs with keys below WARNING."""

OVERLOADED = frozenset({429, 503, 529})
MAX_RETRY_AFTER_S = 120.0
"""What an SDK obeys."""

MAX_CAUSES = 16


def load() -> "Library":
    """litellm, imported and configured; takes seconds, so call it in a thread. Raises ImportError."""
    os.environ.update(ENVIRONMENT)
    for name in SILENT:
        logging.getLogger(name).disabled = True
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
    # Here and nowhere else, and not above: it costs 2.5 s and an optional dependency, both only
    # for who uses it, and it reads the environment just set.
    import httpx  # noqa: PLC0415  comes with litellm
    import litellm  # noqa: PLC0415  see above
    import openai  # noqa: PLC0415  comes with litellm
    from litellm.llms.custom_httpx.async_client_cleanup import close_litellm_async_clients  # noqa: PLC0415  see above

    litellm.suppress_debug_info = True
    litellm.set_verbose = False
    litellm.drop_params = False
    litellm.modify_params = False
    litellm.num_retries = None
    litellm.disable_hf_tokenizer_download = True
    return Library(litellm, httpx, openai, close_litellm_async_clients)


@dataclass(frozen=True, slots=True)
class Library:
    """litellm and the two libraries whose types it shows: httpx for timeouts, openai for errors."""

    litellm: Any
    httpx: Any
    openai: Any
    close: Callable[[], Awaitable[None]]

    @property
    def acompletion(self) -> Callable[..., Awaitable[Any]]:
        """`litellm.acompletion`."""
        call: Callable[..., Awaitable[Any]] = self.litellm.acompletion
        return call

    @property
    def timeout(self) -> Callable[..., Any]:
        """`httpx.Timeout`."""
        kind: Callable[..., Any] = self.httpx.Timeout
        return kind

    @property
    def errors(self) -> tuple[type[Exception], ...]:
        """What a call may raise: litellm's own tree hangs under openai.OpenAIError.

        The others come through where its mapping itself stumbles over an unforeseen answer.
        """
        foreseen = (self.openai.OpenAIError, self.httpx.HTTPError, self.httpx.InvalidURL)
        return (*foreseen, OSError, ValueError, TypeError, LookupError, RuntimeError)

    @contextmanager
    def translated(self, asked: dict[str, Any]) -> Iterator[None]:
        """Raises UpstreamFailure for what a call raises; `asked` are the client's arguments of it."""
        try:
            yield
        except self.errors as error:
            raise self.failure(error, asked) from error

    def failure(self, error: Exception, asked: dict[str, Any]) -> UpstreamFailure:
        """The row of our table for an error; nothing of its text is said or logged."""
        cause = getattr(error, "original_exception", None) or error
        chain = (*causes(cause), *causes(error))
        statuses = {getattr(link, "status_code", None) for link in chain}
        denial, retryable = self._judge(cause, chain, statuses, asked)
        if denial.row.status >= 500:
            status = getattr(cause, "status_code", None)
            log.warning("%s: %s, status %s: %s", asked["model"], type(cause).__name__, status, denial.code)
        return UpstreamFailure(denial, retryable=retryable)

    def _judge(
        self, cause: Any, chain: tuple[BaseException, ...], statuses: set[int | None], asked: dict[str, Any]
    ) -> tuple[Denial, bool]:
        """The denial, and whether another attempt may help."""
        litellm, httpx, openai = self.litellm, self.httpx, self.openai
        if isinstance(cause, litellm.UnsupportedParamsError):
            return Denial("parameter_not_allowed", param=self._unsupported(asked)), False
        if any(isinstance(link, (openai.APITimeoutError, httpx.TimeoutException, TimeoutError)) for link in chain):
            # A provider that was reached may still be generating: asking again would be paid twice.
            unreached = 504 in statuses or any(isinstance(link, httpx.ConnectTimeout) for link in chain)
            return Denial("upstream_timeout"), unreached
        if isinstance(cause, openai.RateLimitError) or OVERLOADED & statuses:
            return Denial("overloaded", retry_after_s=retry_after(chain)), True
        if isinstance(cause, litellm.PaymentRequiredError) or getattr(cause, "llm_provider", None) == "":
            # The operator's account or model name: litellm counts an unknown provider as a bad request.
            return Denial("upstream_error"), True
        if isinstance(cause, (openai.BadRequestError, openai.UnprocessableEntityError)):
            return Denial("invalid_value", "The model cannot take this request."), False
        return Denial("upstream_error"), True

    def _unsupported(self, asked: dict[str, Any]) -> str | None:
        """The first field that the provider does not have; None where only its value is the matter."""
        supported = self.litellm.get_supported_openai_params(model=asked["model"]) or ()
        known = {*supported, "model", "messages", "user", "top_k"}
        return next((name for name in asked if name not in known), None)


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """An error and what it was raised from; ends even if a library raised an error from itself."""
    for _ in range(MAX_CAUSES):
        if error is None:
            return
        yield error
        error = error.__cause__ or error.__context__


def retry_after(chain: tuple[BaseException, ...]) -> float | None:
    """The provider's `retry-after` in seconds, if it is one that an SDK obeys."""
    for link in chain:
        response = getattr(link, "response", None)
        for headers in (getattr(link, "litellm_response_headers", None), getattr(response, "headers", None)):
            try:
                seconds = float((headers or {}).get("retry-after", ""))
            except ValueError:
                continue
            if 0 < seconds <= MAX_RETRY_AFTER_S:
                return seconds
    return None
