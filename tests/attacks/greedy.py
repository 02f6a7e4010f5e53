"""Spellings of deterministic decoding in the fields of every engine, and requests that its honest users send."""

from collections.abc import Iterator
from typing import Any

from llmguard.decoding.engines import ENGINES

Fields = dict[str, Any]

SERVING = tuple(name for name in ENGINES if name != "tei")
"""Engines that generate."""

ONE = {"type": "object", "properties": {"a": {"const": "x"}}, "required": ["a"], "additionalProperties": False}
ANY = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"], "additionalProperties": False}


def tool(schema: Fields) -> Fields:
    """A tool."""
    return {"type": "function", "function": {"name": "f", "parameters": schema}}


def shaped(schema: Fields) -> Fields:
    """A response format."""
    return {"response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": schema}}}


COLD: list[Fields] = [
    {"temperature": 0},
    {"temperature": 0.0, "top_p": 1},
    {"temperature": 1e-12},
    {"temperature": 1e-6},
    {"temperature": 1e-5},
    {"temperature": 1e-3, "top_p": 0.9},
    {"top_p": 0},
    {"top_p": 1e-9},
    {"top_p": 0.001},
    {"temperature": 2, "top_p": 1e-6},
    {"temperature": 0.3, "top_p": 0.01},
]
"""Of every engine; what they leave can be worked out."""

BELOW: list[Fields] = [{"temperature": 0.01}, {"temperature": 0.1}, {"temperature": 0.29}, {"top_p": 0.05}]
"""Near enough to be refused."""

STRUCTURAL: list[Fields] = [
    {"seed": 0},
    {"seed": 42, "temperature": 1},
    {"prompt": "x", "best_of": 4},
    {"prompt": "x", "best_of": 3, "n": 2},
    shaped({"const": "yes"}),
    shaped(ONE),
    shaped({"enum": ["yes"]}),
    {"tools": [tool(ONE)], "tool_choice": {"type": "function", "function": {"name": "f"}}},
    {"tools": [tool(ONE)], "tool_choice": "required"},
    {"logit_bias": {"7": 100}},
]
"""Of every engine's wire; what they do is not a matter of one token's distribution."""

TOP_K: list[Fields] = [{"top_k": 1}, {"top_k": 1, "temperature": 2}, {"top_k": 1, "temperature": 0.3, "top_p": 0.95}]
MIN_P: list[Fields] = [{"min_p": 1}, {"min_p": 0.9999, "temperature": 0.5}]
LLAMACPP: list[Fields] = [
    {"typical_p": 0},
    {"typical_p": 1e-6},
    {"top_n_sigma": 0},
    {"top_n_sigma": 0.001, "temperature": 1.5},
    {"temperature": 0.8, "dynatemp_range": 0.8},
    {"temperature": 0.5, "dynatemp_range": 0.5, "dynatemp_exponent": 2},
    {"top_k": 2, "xtc_probability": 1, "xtc_threshold": 0},
    {"top_k": 2, "xtc_probability": 0.999, "xtc_threshold": 1e-6},
    {"temperature": 0.3, "samplers": ["temperature"] * 5},
    {"repeat_penalty": 1e-6},
]
CONSTRAINTS: dict[str, list[Fields]] = {
    "vllm": [
        {"use_beam_search": True},
        {"use_beam_search": True, "n": 2, "length_penalty": 0.5},
        {"allowed_token_ids": [5]},
        {"allowed_token_ids": [5, 5]},
        {"guided_choice": ["yes"]},
        {"guided_regex": "yes"},
        {"guided_regex": "(yes|yes)"},
        {"guided_json": {"const": 1}},
        {"guided_grammar": 'root ::= "yes"'},
        {"structured_outputs": {"choice": ["yes"]}},
        {"structured_outputs": {"regex": r"a\.b"}},
        {"structured_outputs": {"json": ONE}},
        {"structured_outputs": {"grammar": 'root ::= "yes"'}},
        {"repetition_penalty": 1e9},
        {"continue_final_message": True},
        {"bad_words": ["no"]},
    ],
    "sglang": [
        {"regex": "yes"},
        {"ebnf": 'root ::= "yes"'},
        {"json_schema": {"const": 1}},
        {"repetition_penalty": 1e9},
        {"continue_final_message": True},
    ],
    "llamacpp": [
        {"grammar": 'root ::= "yes"'},
        {"json_schema": ONE},
        {"mirostat": 1, "mirostat_tau": 0},
        {"mirostat": 2, "mirostat_tau": 0.01, "mirostat_eta": 0.1},
        {"mirostat": 2, "mirostat_eta": 1e6},
        {"repeat_penalty": 1e9},
        {"xtc_probability": 1, "xtc_threshold": 0.1},
    ],
    "tgi": [{"prompt": "x", "repetition_penalty": 1e9}, {"prompt": "x", "repetition_penalty": 1e-6}],
}
UNKNOWN: list[Fields] = [
    {"do_sample": False},
    {"greedy": True},
    {"tfs_z": 0.01},
    {"epsilon_cutoff": 0.5},
    {"eta_cutoff": 0.5},
    {"prompt_logprobs": 5},
    {"return_token_ids": True},
    {"n_probs": 10},
    {"num_beams": 4},
    {"decoder_input_details": True},
    {"options": {"temperature": 0}},
    {"generation_config": {"temperature": 0}},
    {"custom_logit_processor": "x"},
    {"vllm_xargs": {"temperature": 0}},
    {"logits_processors": ["x"]},
]
"""Of engines that are not behind the guard, and of none: nothing of it may be passed on by any."""


def numeric() -> Iterator[tuple[str, Fields]]:
    """Spellings that leave one candidate, as the reference sampler shows."""
    for engine in SERVING:
        known = ENGINES[engine].fields
        yield from ((engine, fields) for fields in COLD)
        if "top_k" in known:
            yield from ((engine, fields) for fields in TOP_K)
        if "min_p" in known:
            yield from ((engine, fields) for fields in MIN_P)
        if engine in ("vllm", "sglang"):
            yield engine, {"repetition_penalty": 1e-6}
        if engine == "llamacpp":
            yield from ((engine, fields) for fields in LLAMACPP)


def others() -> Iterator[tuple[str, Fields]]:
    """Spellings by other means, and those that are only near."""
    for engine in SERVING:
        yield from ((engine, fields) for fields in (*BELOW, *STRUCTURAL, *CONSTRAINTS.get(engine, ())))


HONEST: list[Fields] = [
    {},
    {"max_tokens": 256},
    {"max_completion_tokens": 1024},
    {"stream": True},
    {"stream": True, "stream_options": {"include_usage": True}},
    {"temperature": 1},
    {"temperature": 0.7},
    {"temperature": 0.3},
    {"temperature": 0.7, "top_p": 0.95, "max_tokens": 512},
    {"temperature": 0.6, "top_p": 0.8},
    {"temperature": 1.2, "presence_penalty": 0.5, "frequency_penalty": 0.3},
    {"top_p": 0.5},
    {"n": 2, "temperature": 0.9},
    {"stop": ["\n\n", "###"], "temperature": 0.8},
    {"response_format": {"type": "json_object"}, "temperature": 0.5},
    shaped(ANY),
    shaped({"type": "object", "properties": {"mood": {"enum": ["good", "bad"]}}, "required": ["mood"]}),
    {"tools": [tool(ANY)], "tool_choice": "auto"},
    {"tools": [tool(ANY)], "tool_choice": "required", "parallel_tool_calls": False},
    {"tools": [tool(ANY)], "tool_choice": {"type": "function", "function": {"name": "f"}}},
    {"reasoning_effort": "low"},
    {"user": "someone", "temperature": 0.7},
    {"prompt": "Once upon a time", "max_tokens": 64, "temperature": 0.8},
    {"prompt": ["one", "two", "three"], "temperature": 0.7},
    {"prompt": "def f(", "suffix": ")", "temperature": 0.4},
]
VLLM_SGLANG: list[Fields] = [
    {"top_k": 20, "top_p": 0.8, "temperature": 0.7, "min_p": 0},
    {"top_k": 40, "chat_template_kwargs": {"enable_thinking": False}},
    {"top_k": -1, "min_p": 0.05, "temperature": 1.1},
    {"repetition_penalty": 1.05, "temperature": 0.7},
    {"min_tokens": 16, "stop_token_ids": [128009]},
    {"ignore_eos": True, "max_tokens": 128},
    {"skip_special_tokens": False},
]
HONEST_OF: dict[str, list[Fields]] = {
    "vllm": [
        *VLLM_SGLANG,
        {"guided_choice": ["positive", "negative"]},
        {"guided_json": ANY},
        {"guided_regex": r"\d{4}-\d{2}-\d{2}"},
        {"structured_outputs": {"json": ANY}},
        {"structured_outputs": {"choice": ["a", "b", "c"]}},
        {"structured_outputs": {"json_object": True}},
        {"include_stop_str_in_output": True, "stop": ["END"]},
        {"truncate_prompt_tokens": 4096, "spaces_between_special_tokens": False},
        {"use_beam_search": False},
    ],
    "sglang": [
        *VLLM_SGLANG,
        {"regex": "(Paris|London)"},
        {"ebnf": 'root ::= "Hello" | "Goodbye"'},
        {"json_schema": ANY},
        {"no_stop_trim": True},
    ],
    "llamacpp": [
        {"top_k": 40, "top_p": 0.95, "min_p": 0.05, "temperature": 0.8},
        {"typical_p": 1, "repeat_penalty": 1.1, "repeat_last_n": 64},
        {"mirostat": 2, "mirostat_tau": 5, "mirostat_eta": 0.1},
        {"xtc_probability": 0.5, "xtc_threshold": 0.1},
        {"dry_multiplier": 0.8, "dry_base": 1.75, "dry_allowed_length": 2, "dry_penalty_last_n": -1},
        {"dry_multiplier": 0.8, "dry_sequence_breakers": ["\n", ":"]},
        {"dynatemp_range": 0.5, "temperature": 1},
        {"top_n_sigma": 1.0, "temperature": 1.5},
        {"samplers": ["dry", "top_k", "typ_p", "top_p", "min_p", "xtc", "temperature"]},
        {"grammar": 'root ::= "yes" | "no"'},
        {"json_schema": ANY},
        {"min_keep": 2, "ignore_eos": False},
        {"chat_template_kwargs": {"enable_thinking": True}},
    ],
    "tgi": [{"prompt": "x", "repetition_penalty": 1.03}],
    "litellm": [{"top_k": 40}, {"top_k": 250, "top_p": 0.99, "temperature": 1}],
    "embedded": [{"top_k": 50}, {"top_k": 0, "temperature": 0.9}],
}


def honest() -> Iterator[tuple[str, Fields]]:
    """What users of each engine send."""
    for engine in SERVING:
        yield from ((engine, fields) for fields in (*HONEST, *HONEST_OF.get(engine, ())))
