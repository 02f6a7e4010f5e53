"""Request fields that engines know beyond OpenAI's. Which engine knows which stands in `llmguard.decoding.engines`.

A field that is not here is refused as unknown, and one that the request's own upstream does not know is, too. What
would run code, name a file, or read out more than text (custom logit processors, adapters, hidden states,
log-probabilities of the prompt) is left out on purpose.
"""

from collections.abc import Collection
from functools import cache
from operator import attrgetter
from typing import Annotated, Any, Final

from msgspec import Meta, Struct

from llmguard.wire.json_schema import JsonSchema, check_schema

Share = Annotated[float, Meta(ge=0, le=1)]
Factor = Annotated[float, Meta(ge=0, le=1_000_000_000)]
Count = Annotated[int, Meta(ge=0, le=2**31 - 1)]
Window = Annotated[int, Meta(ge=-1, le=2**31 - 1)]
TokenId = Annotated[int, Meta(ge=0, le=2**31 - 1)]
Phrase = Annotated[str, Meta(min_length=1, max_length=512)]
Pattern = Annotated[str, Meta(min_length=1, max_length=16_384)]
Options = Annotated[list[Annotated[str, Meta(max_length=4096)]], Meta(min_length=1, max_length=4096)]


class TemplateOptions(Struct, forbid_unknown_fields=True, omit_defaults=True):
    """What a chat template may be told: whether to think. Anything else could rewrite the prompt around it."""

    enable_thinking: bool | None = None
    thinking: bool | None = None


class StructuredOutputs(Struct, forbid_unknown_fields=True, omit_defaults=True):
    """vLLM's constraints on the answer."""

    json: JsonSchema | None = None
    regex: Pattern | None = None
    choice: Options | None = None
    grammar: Pattern | None = None
    json_object: bool | None = None

    def __post_init__(self) -> None:
        """The schema can be sent on."""
        check_schema("json", self.json)


class EngineFields(Struct, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """The fields of all engines; bounds are no tighter than the engines' own, the policy's floors are."""

    # What the distribution is cut to
    top_k: Annotated[int, Meta(ge=-1, le=1_000_000)] | None = None
    min_p: Share | None = None
    typical_p: Share | None = None
    top_n_sigma: Annotated[float, Meta(ge=-1, le=1000)] | None = None
    min_keep: Count | None = None
    xtc_probability: Share | None = None
    xtc_threshold: Share | None = None
    mirostat: Annotated[int, Meta(ge=0, le=2)] | None = None
    mirostat_tau: Factor | None = None
    mirostat_eta: Factor | None = None
    samplers: Annotated[list[Phrase], Meta(min_length=1, max_length=32)] | None = None
    # How it is bent
    dynatemp_range: Factor | None = None
    dynatemp_exponent: Factor | None = None
    repetition_penalty: Factor | None = None
    repeat_penalty: Factor | None = None
    repeat_last_n: Window | None = None
    dry_multiplier: Factor | None = None
    dry_base: Factor | None = None
    dry_allowed_length: Count | None = None
    dry_penalty_last_n: Window | None = None
    dry_sequence_breakers: Annotated[list[Phrase], Meta(max_length=64)] | None = None
    # Search in place of sampling
    use_beam_search: bool | None = None
    length_penalty: Annotated[float, Meta(ge=-100, le=100)] | None = None
    # Which tokens there are
    allowed_token_ids: Annotated[list[TokenId], Meta(min_length=1, max_length=65_536)] | None = None
    bad_words: Annotated[list[Phrase], Meta(max_length=1024)] | None = None
    # Which answers there are
    regex: Pattern | None = None
    ebnf: Pattern | None = None
    grammar: Pattern | None = None
    json_schema: JsonSchema | None = None
    guided_json: JsonSchema | None = None
    guided_regex: Pattern | None = None
    guided_choice: Options | None = None
    guided_grammar: Pattern | None = None
    structured_outputs: StructuredOutputs | None = None
    # Where it begins and ends
    continue_final_message: bool | None = None
    chat_template_kwargs: TemplateOptions | None = None
    min_tokens: Count | None = None
    ignore_eos: bool | None = None
    stop_token_ids: Annotated[list[TokenId], Meta(max_length=64)] | None = None
    include_stop_str_in_output: bool | None = None
    no_stop_trim: bool | None = None
    skip_special_tokens: bool | None = None
    spaces_between_special_tokens: bool | None = None
    truncate_prompt_tokens: Window | None = None

    def __post_init__(self) -> None:
        """The schemas can be sent on."""
        if self.json_schema is not None:
            check_schema("json_schema", self.json_schema)
        if self.guided_json is not None:
            check_schema("guided_json", self.guided_json)


NAMES: Final = EngineFields.__struct_fields__


class Fields:
    """Two or more of the fields, read at once: most requests give none of them."""

    def __init__(self, names: Collection[str]) -> None:
        self._names = tuple(names)
        self._values = attrgetter(*names)
        self._nothing = (None,) * len(self._names)

    def given(self, request: EngineFields) -> list[tuple[str, Any]]:
        """Those that the request gives, and their values."""
        values = self._values(request)
        if values == self._nothing:
            return []
        return [(name, value) for name, value in zip(self._names, values, strict=True) if value is not None]


@cache
def _others(known: frozenset[str]) -> Fields:
    return Fields([name for name in NAMES if name not in known])


def foreign(request: EngineFields, known: frozenset[str]) -> str | None:
    """The first field that the request gives and whoever knows only `known` does not know."""
    found = _others(known).given(request)
    return found[0][0] if found else None
