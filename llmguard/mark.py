"""The mark that an answer is to carry, on its way from the control to whatever samples.

A format is one of the watermark library's schemes, by its name there.
"""

from collections.abc import Mapping
from typing import Final

import msgspec

from llmguard.settings import AnyUpstream, EmbeddedUpstream, LiteLLMUpstream, Model, OpenAIUpstream
from llmguard.settings_policies import Watermark

VLLM, SGLANG, UNIGRAM, SELECTION = "gumbel-vllm", "gumbel-sglang", "unigram", "selection"

FORMATS: Final[Mapping[str, tuple[str, ...]]] = {"gumbel": (VLLM, SGLANG), "unigram": (UNIGRAM,)}
"""The formats of a policy's scheme, the better one first: of a key all 64 bits count with Philox, 32 with murmur3."""

SGLANG_WIDTH: Final = 4
"""SGLang's context has this width, whatever a policy says."""
WIDTHS: Final = {SGLANG: SGLANG_WIDTH, UNIGRAM: 0, SELECTION: 4}

BIASABLE: Final = frozenset({"vllm", "sglang", "llamacpp", "generic"})
"""Engines that add `logit_bias` to logits."""
CONTINUING: Final = frozenset({"vllm", "sglang"})
"""Engines that go on with the beginning of a chat's answer."""


class Mark(msgspec.Struct, frozen=True):
    """A format with a key of 64 bits, which is secret.

    With selection an answer is picked of `candidates`, which come in one call (`together`) or in as many, whole or in
    segments of `segment` tokens. With unigram the model has `vocabulary` tokens, of which `biased` at most are.
    """

    key_id: str
    scheme: str
    width: int
    key: int
    candidates: int = 1
    together: bool = True
    segment: int = 0
    continuing: bool = False
    vocabulary: int = 0
    biased: int = 0

    def __repr__(self) -> str:
        return f"Mark({self.key_id}, {self.scheme})"

    def input_bound(self, given: int, cap: int) -> int:
        """The most tokens that a model reads in all, of a prompt of `given` and answers of at most `cap`."""
        calls = 1 if self.together else self.candidates
        turns = -(-cap // self.segment) if self.segment else 1
        return calls * (turns * given + self.segment * turns * (turns - 1) // 2)


class Marks:
    """The marks of one exchange by public model, and the one that is in use: a fallback has its own."""

    __slots__ = ("by_model", "used")

    def __init__(self, by_model: Mapping[str, Mark]) -> None:
        self.by_model = by_model
        self.used: Mark | None = None

    def use(self, model: str) -> Mark | None:
        """The mark of the model that is about to be asked."""
        self.used = self.by_model.get(model)
        return self.used

    @property
    def candidates(self) -> int:
        """The most answers that are made for one that is given."""
        return max((mark.candidates for mark in self.by_model.values()), default=1)

    def input_bound(self, given: int, cap: int) -> int:
        """The most tokens that whichever model serves reads for one prompt."""
        return max((mark.input_bound(given, cap) for mark in self.by_model.values()), default=given)


def format_of(setting: Watermark, upstream: AnyUpstream, model: Model) -> str | None:
    """The format in which a model's text is marked for a policy's setting; None where it cannot."""
    able = _able(upstream, model)
    found = next((name for name in FORMATS.get(setting.scheme, ()) if name in able), None)
    samples = not isinstance(upstream, EmbeddedUpstream)
    if found is None and samples and setting.selection is not None and setting.scheme in FORMATS:
        return SELECTION
    return found


def width_of(scheme: str, setting: Watermark) -> int:
    """The width of a format's context under a policy's setting."""
    return WIDTHS.get(scheme, setting.context_width)


def _able(upstream: AnyUpstream, model: Model) -> frozenset[str]:
    if isinstance(upstream, LiteLLMUpstream):
        return frozenset()
    if isinstance(upstream, EmbeddedUpstream):
        return frozenset({VLLM})
    able = {SGLANG} if upstream.engine == "sglang" else set()
    if upstream.engine == "vllm" and upstream.watermark_plugin:
        able.add(VLLM)
    if upstream.engine in BIASABLE and model.vocabulary is not None:
        able.add(UNIGRAM)
    return frozenset(able)


def mark_of(
    setting: Watermark, upstream: AnyUpstream, model: Model, key: tuple[int, str], *, stream: bool
) -> Mark | None:
    """The mark of an answer under a key and its id; None where a streamed one is to stay without."""
    scheme = format_of(setting, upstream, model)
    if scheme is None:
        return None
    word, id = key
    mark = Mark(id, scheme, width_of(scheme, setting), word)
    if scheme == UNIGRAM:
        return msgspec.structs.replace(mark, vocabulary=model.vocabulary or 0, biased=setting.biased_tokens)
    if scheme != SELECTION or setting.selection is None:
        return mark
    chosen = setting.selection
    if stream and chosen.streaming == "unmarked":
        return None
    segments = stream and chosen.streaming == "segments" and isinstance(upstream, OpenAIUpstream)
    return msgspec.structs.replace(
        mark,
        candidates=chosen.candidates,
        together=isinstance(upstream, OpenAIUpstream),
        segment=chosen.segment_tokens if segments else 0,
        continuing=isinstance(upstream, OpenAIUpstream) and upstream.engine in CONTINUING,
    )
