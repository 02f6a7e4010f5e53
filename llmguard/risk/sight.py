"""One prompt as the statistics see it: who, when, and the ids of what was newly said. The text goes no further."""

import zlib
from array import array
from collections import OrderedDict
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, ip_address
from typing import Final, TypeAlias

import msgspec
from msgspec.structs import replace

from llmguard.exchange import Exchange
from llmguard.quota.needs import cap
from llmguard.risk.meanwhile import Answer, Wait
from llmguard.wire.chat import UserMessage
from llmguard.wire.completions import CompletionRequest
from llmguard.wire.content_parts import TextPart
from llmguard.wire.model_request import ModelRequest
from llmguard.wire.pooling import ClassifyRequest, EmbeddingRequest, PoolingRequest, texts

Asked: TypeAlias = ModelRequest | PoolingRequest

MOST_KEYS: Final = 100_000
SITE_BITS: Final = {4: 24, 6: 64}
"""Addresses of one site: an IPv4 /24, an IPv6 /64."""


class Sight(msgspec.Struct, frozen=True, array_like=True):
    """A prompt of a key at `at` (Unix seconds); `ids` are two bytes each, in this machine's order.

    `site` is the client's address prefix, `parameters` a fingerprint of how the answer was asked for, `biased` whether
    it biases tokens, `logprobs` whether it asks for their probabilities, `most` its cap on the answer (0 for none).
    `waits` and `answers` are what happened to the key since its last prompt.
    """

    at: float
    key: str
    user: str
    tenant: str
    policy: str
    site: str
    ids: bytes
    parameters: int = 0
    biased: bool = False
    logprobs: bool = False
    most: int = 0
    waits: tuple[Wait, ...] = ()
    answers: tuple[Answer, ...] = ()

    @property
    def tokens(self) -> "array[int]":
        """The ids."""
        return array("H", self.ids)

    @property
    def tags(self) -> frozenset[str]:
        """What else may be shared with other keys."""
        return frozenset((f"ip:{self.site}", f"user:{self.user}", f"tenant:{self.tenant}"))


class Memory:
    """How each key's last text began, as a digest: clients that keep a history in one growing string repeat it."""

    def __init__(self) -> None:
        self._last: OrderedDict[str, tuple[int, int]] = OrderedDict()

    def newly(self, key: str, text: str) -> str:
        """The text without what the key's last one was, where it begins with that and goes on."""
        length, digest = self._last.get(key, (0, 0))
        self._last[key] = len(text), hash(text)
        self._last.move_to_end(key)
        if len(self._last) > MOST_KEYS:
            self._last.popitem(last=False)
        if 0 < length < len(text) and hash(text[:length]) == digest:
            return text[length:].lstrip()
        return text


def said(request: Asked) -> list[str]:
    """What the user says in a request: the last user turn of a chat, every prompt of a completion, every input."""
    if isinstance(request, ClassifyRequest | EmbeddingRequest):
        return texts(request)
    if isinstance(request, CompletionRequest):
        return [request.prompt] if isinstance(request.prompt, str) else list(request.prompt)
    turn = next((message for message in reversed(request.messages) if isinstance(message, UserMessage)), None)
    if turn is None:
        return []
    if isinstance(turn.content, str):
        return [turn.content]
    return [" ".join(part.text for part in turn.content if isinstance(part, TextPart))]


@lru_cache(maxsize=4096)  # a parse takes some microseconds, and most requests come from where others came from
def site_of(address: str) -> str:
    """The network that an address is in; what is no address is itself."""
    try:
        ip = ip_address(address)
    except ValueError:
        return address
    kind = IPv4Network if ip.version == 4 else IPv6Network
    return str(kind((int(ip), SITE_BITS[ip.version]), strict=False))


def sight_of(exchange: Exchange, request: Asked, ids: bytes, site: str, now: float) -> Sight:
    """A prompt of this exchange."""
    who = exchange.principal
    sight = Sight(now, who.key, who.user, who.tenant, who.policy, site, ids)
    if isinstance(request, ClassifyRequest | EmbeddingRequest):
        return sight
    return replace(
        sight,
        parameters=_parameters(request),
        biased=bool(request.logit_bias),
        logprobs=bool(request.logprobs),
        most=cap(request) or 0,
    )


def _parameters(request: ModelRequest) -> int:
    """32 bits of how an answer is asked for."""
    given = (request.model, request.temperature, request.top_p, request.n, request.presence_penalty, request.stop)
    return zlib.crc32(repr(given).encode("utf-8", "surrogatepass"))
