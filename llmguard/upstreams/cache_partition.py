"""Prompt caches of upstreams, apart by tenant: how soon an answer comes must not tell what another tenant asked."""

import hmac
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from typing import Final, Literal
from urllib.parse import urlsplit

from msgspec.structs import replace

from llmguard.settings import AnyUpstream, OpenAIUpstream
from llmguard.wire.chat import ChatRequest
from llmguard.wire.model_request import ModelRequest

SALTED: Final = ("vllm", "sglang")
"""Engines whose request types on OpenAI's routes have `cache_salt`: a prefix is shared under one salt only."""
OPENAI: Final = "api.openai.com"
"""Knows `prompt_cache_key`, which steers a prompt to a cache and is no wall between two."""

Way = Literal["cache_salt", "prompt_cache_key"]


class CachePartition:
    """Adds to a request what keeps its tenant's share of the upstream's prompt cache apart.

    The value is a keyed hash of the tenant in 43 characters, so that an upstream learns no name and no client can guess
    another's. Other upstreams get nothing: what they do not know they might refuse. Pure.
    """

    def __init__(self, key: bytes, upstreams: Mapping[str, AnyUpstream]) -> None:
        self._key = key
        self._ways = {name: way for name, upstream in upstreams.items() if (way := _way(upstream))}

    def __call__(self, request: ModelRequest, upstream: str, tenant: str) -> ModelRequest:
        """The request for this upstream."""
        way = self._ways.get(upstream)
        if way == "cache_salt":
            return replace(request, cache_salt=self._value(tenant))
        if way == "prompt_cache_key" and isinstance(request, ChatRequest):
            return replace(request, prompt_cache_key=self._value(tenant))
        return request

    def _value(self, tenant: str) -> str:
        return urlsafe_b64encode(hmac.digest(self._key, tenant.encode(), "sha256")).rstrip(b"=").decode()


def _way(upstream: AnyUpstream) -> Way | None:
    if not isinstance(upstream, OpenAIUpstream):
        return None
    if upstream.engine in SALTED:
        return "cache_salt"
    host = urlsplit(upstream.base_url).hostname or ""
    return "prompt_cache_key" if host == OPENAI or host.endswith(f".{OPENAI}") else None
