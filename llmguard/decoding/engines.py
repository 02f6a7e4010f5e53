"""One row an engine: the fields that it reads beyond OpenAI's, what it does where a field is absent, and prefills.

The rows were read from the engines' own request types on their OpenAI routes: vLLM's and SGLang's `protocol.py`, the
README of llama.cpp's server, Text Generation Inference's `docs/openapi.json`, Ollama's `openai.go`, litellm's
transformations for Anthropic and Gemini. What a field means for the distribution stands in `meanings`. A new engine
is a row here and a name in `settings`; a new field is a line in `wire.engine_fields` and one in `meanings`.
"""

from dataclasses import dataclass
from typing import Final

from llmguard.settings import AnyUpstream, LiteLLMUpstream, OpenAIUpstream


@dataclass(frozen=True, slots=True)
class Defaults:
    """What an engine or a model samples with where the request says nothing. `cuts_first`: then the temperature."""

    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    cuts_first: bool = False


@dataclass(frozen=True, slots=True)
class Engine:
    """What runs a model. `prefills`: an assistant's message at the end is taken for the beginning of the answer."""

    fields: frozenset[str] = frozenset()
    defaults: Defaults = Defaults()
    prefills: bool = False


PLAIN: Final = Engine()
"""OpenAI and whatever speaks its wire and no more."""

VLLM_FIELDS: Final = frozenset(
    {
        "top_k", "min_p", "repetition_penalty", "use_beam_search", "length_penalty", "allowed_token_ids", "bad_words",
        "guided_json", "guided_regex", "guided_choice", "guided_grammar", "structured_outputs",
        "continue_final_message", "chat_template_kwargs", "min_tokens", "ignore_eos", "stop_token_ids",
        "include_stop_str_in_output", "skip_special_tokens", "spaces_between_special_tokens",
        "truncate_prompt_tokens",
    }
)  # fmt: skip
SGLANG_FIELDS: Final = frozenset(
    {
        "top_k", "min_p", "repetition_penalty", "regex", "ebnf", "json_schema", "continue_final_message",
        "chat_template_kwargs", "min_tokens", "ignore_eos", "stop_token_ids", "no_stop_trim", "skip_special_tokens",
    }
)  # fmt: skip
LLAMACPP_FIELDS: Final = frozenset(
    {
        "top_k", "min_p", "typical_p", "top_n_sigma", "min_keep", "xtc_probability", "xtc_threshold", "mirostat",
        "mirostat_tau", "mirostat_eta", "samplers", "dynatemp_range", "dynatemp_exponent", "repeat_penalty",
        "repeat_last_n", "dry_multiplier", "dry_base", "dry_allowed_length", "dry_penalty_last_n",
        "dry_sequence_breakers", "grammar", "json_schema", "ignore_eos", "chat_template_kwargs",
    }
)  # fmt: skip

ENGINES: Final = {
    # vLLM and SGLang take absent values from the model's generation_config.json: `models.*.defaults` tells them.
    "vllm": Engine(VLLM_FIELDS),
    "sglang": Engine(SGLANG_FIELDS),
    # Its chat route samples where no temperature is given; it goes on with an assistant's last message.
    "tgi": Engine(frozenset({"repetition_penalty"}), prefills=True),
    "llamacpp": Engine(
        LLAMACPP_FIELDS,
        Defaults(temperature=0.8, top_p=0.95, top_k=40, min_p=0.05, cuts_first=True),
        prefills=True,
    ),
    # Its OpenAI routes read none of its native options, and pass over what they do not know without a word.
    "ollama": Engine(prefills=True),
    # It embeds, ranks and classifies; there is nothing to decode.
    "tei": PLAIN,
    "generic": PLAIN,
    # Anthropic prefills, Gemini goes on with a model's turn; top_k is the one field that both have besides OpenAI's.
    "litellm": Engine(frozenset({"top_k"}), prefills=True),
    "embedded": Engine(frozenset({"top_k"})),
}


def engine_of(upstream: AnyUpstream) -> Engine:
    """The row of an upstream's engine."""
    if isinstance(upstream, OpenAIUpstream):
        return ENGINES[upstream.engine]
    return ENGINES["litellm" if isinstance(upstream, LiteLLMUpstream) else "embedded"]
