"""From settings to upstreams: the one place that maps a kind to its class."""

from collections.abc import Mapping
from pathlib import Path

from llmguard.settings import AnyUpstream, EmbeddedUpstream, LiteLLMUpstream
from llmguard.upstreams.embedded.embedded import Embedded
from llmguard.upstreams.litellm import LiteLLM
from llmguard.upstreams.openai import OpenAI
from llmguard.upstreams.upstream import Upstream


def build_upstream(settings: AnyUpstream, *, cache: Path) -> Upstream:
    """An upstream that is not started; `cache` is where converted weights are kept."""
    if isinstance(settings, EmbeddedUpstream):
        return Embedded(settings, cache=cache)
    if isinstance(settings, LiteLLMUpstream):
        return LiteLLM(settings)
    return OpenAI(settings)


def build_upstreams(settings: Mapping[str, AnyUpstream], *, cache: Path) -> dict[str, Upstream]:
    """All of them, by name."""
    return {name: build_upstream(upstream, cache=cache) for name, upstream in settings.items()}
