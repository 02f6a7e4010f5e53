"""What each field of an engine means for the distribution that is sampled from: a rule, or nothing.

Each rule is given the field's name and value, the request, the policy's floors, and the temperature that holds once
it has been lifted. A field without a rule stands in HARMLESS, and a test holds the engines' rows against both.
"""

from collections.abc import Callable
from typing import Any, Final, TypeAlias

from llmguard.decoding.breach import Breach
from llmguard.decoding.constraints import one_choice, one_expansion, one_match, one_value
from llmguard.settings_policies import Decoding
from llmguard.wire.engine_fields import StructuredOutputs
from llmguard.wire.model_request import ModelRequest

Rule: TypeAlias = Callable[[str, Any, ModelRequest, Decoding, float], Breach | None]

MOST_MIN_P: Final = 0.5
"""Above it no token remains that is less than half as likely as the first. What is recommended is 0.05 to 0.2."""
LEAST_SIGMA: Final = 1.0
"""Logits within one standard deviation of the highest; below it often none but that one."""
LEAST_SURPRISE: Final = 1.0
"""Mirostat's tau, in bits (Basu et al. 2021): at 0 each token is to be no surprise at all. The default is 5."""
MOST_LEARNING: Final = 1.0
"""Mirostat's eta: a larger step puts the cut below every token but one after the first surprise. The default is 0.1."""
MOST_EXCLUSION: Final = 0.5
"""XTC with a low threshold takes all tokens out but one, this often. Recommended is 0.5, too."""
MOST_REPETITION: Final = 2.0
"""A repetition penalty divides the logits of what was said; engines recommend 1.0 to 1.3, and SGLang ends at 2."""
LEAST_REPETITION: Final = 1.0
"""Logits of likely tokens are 10 to 30: at 0.9 each that was said gains up to 3, at a temperature of 0.3 up to 10."""


def top_k(name: str, value: int, request: ModelRequest, floors: Decoding, temperature: float) -> Breach | None:
    """Zero and below is no limit with every engine."""
    if 0 < value < floors.min_top_k:
        return Breach(name, f"must be at least {floors.min_top_k}", {name: floors.min_top_k})
    return None


def mass(name: str, value: float, request: ModelRequest, floors: Decoding, temperature: float) -> Breach | None:
    """`top_p` and `typical_p`: candidates are kept until they have this much of the probability."""
    if value < floors.min_top_p:
        return Breach(name, f"must be at least {floors.min_top_p:g}", {name: floors.min_top_p})
    return None


def min_p(name: str, value: float, request: ModelRequest, floors: Decoding, temperature: float) -> Breach | None:
    """Candidates are kept that have this share of the likeliest one's probability: at 1, it alone."""
    return Breach(name, f"must be at most {MOST_MIN_P}", {name: MOST_MIN_P}) if value > MOST_MIN_P else None


def top_n_sigma(name: str, value: float, request: ModelRequest, floors: Decoding, temperature: float) -> Breach | None:
    """Candidates are kept within so many standard deviations of the highest logit; negative is off."""
    if 0 <= value < LEAST_SIGMA:
        return Breach(name, f"must be at least {LEAST_SIGMA:g}", {name: LEAST_SIGMA})
    return None


def dynatemp_range(
    name: str, value: float, request: ModelRequest, floors: Decoding, temperature: float
) -> Breach | None:
    """The temperature moves between temperature ± range, with the entropy: by how sure the model is."""
    if value and temperature - value < floors.min_temperature:
        return Breach(name, f"must leave a temperature of at least {floors.min_temperature:g}", {name: None})
    return None


def repetition(name: str, value: float, request: ModelRequest, floors: Decoding, temperature: float) -> Breach | None:
    """Divides the positive logits of what was said, and multiplies the others: below 1 it draws them again."""
    if value > MOST_REPETITION:
        return Breach(name, f"must be at most {MOST_REPETITION:g}", {name: MOST_REPETITION})
    if value < LEAST_REPETITION:
        return Breach(name, f"must be at least {LEAST_REPETITION:g}", {name: LEAST_REPETITION})
    return None


def mirostat_tau(name: str, value: float, request: ModelRequest, floors: Decoding, temperature: float) -> Breach | None:
    """The surprise that each token is steered to, in bits; without `mirostat` it means nothing."""
    if request.mirostat and value < LEAST_SURPRISE:
        return Breach(name, f"must be at least {LEAST_SURPRISE:g}", {name: LEAST_SURPRISE})
    return None


def mirostat_eta(name: str, value: float, request: ModelRequest, floors: Decoding, temperature: float) -> Breach | None:
    """How far the cut moves after a token; without `mirostat` it means nothing."""
    if request.mirostat and value > MOST_LEARNING:
        return Breach(name, f"must be at most {MOST_LEARNING:g}", {name: MOST_LEARNING})
    return None


def xtc_probability(
    name: str, value: float, request: ModelRequest, floors: Decoding, temperature: float
) -> Breach | None:
    """How often all tokens above the threshold go but the least likely of them."""
    return Breach(name, f"must be at most {MOST_EXCLUSION}", {name: MOST_EXCLUSION}) if value > MOST_EXCLUSION else None


def samplers(name: str, value: list[str], request: ModelRequest, floors: Decoding, temperature: float) -> Breach | None:
    """llama.cpp applies a sampler as often as it is named: a temperature of 0.5 twice is one of 0.25."""
    if len(set(value)) < len(value):
        return Breach(name, "must name no sampler twice", {name: None})
    return None


def use_beam_search(
    name: str, value: bool, request: ModelRequest, floors: Decoding, temperature: float
) -> Breach | None:
    """Beam search finds the likeliest answer, and always the same one."""
    return Breach(name, "must not be true", {name: None, "length_penalty": None}) if value else None


def tokens(name: str, value: list[int], request: ModelRequest, floors: Decoding, temperature: float) -> Breach | None:
    """One token that is allowed is one that is forced."""
    return Breach(name, "must allow more than one token", None) if len(set(value)) < 2 else None


def regex(name: str, value: str, request: ModelRequest, floors: Decoding, temperature: float) -> Breach | None:
    """A pattern that one text matches."""
    return closed(name) if one_match(value) else None


def grammar(name: str, value: str, request: ModelRequest, floors: Decoding, temperature: float) -> Breach | None:
    """A grammar of one text."""
    return closed(name) if one_expansion(value) else None


def schema(name: str, value: Any, request: ModelRequest, floors: Decoding, temperature: float) -> Breach | None:
    """A JSON schema of one value."""
    return closed(name) if one_value(value) else None


def choice(name: str, value: list[str], request: ModelRequest, floors: Decoding, temperature: float) -> Breach | None:
    """A choice of one."""
    return closed(name) if one_choice(value) else None


def structured(
    name: str, value: StructuredOutputs, request: ModelRequest, floors: Decoding, temperature: float
) -> Breach | None:
    """vLLM's constraints, any of them."""
    if value.json is not None and one_value(value.json):
        return closed(f"{name}.json")
    if value.regex is not None and one_match(value.regex):
        return closed(f"{name}.regex")
    if value.choice is not None and one_choice(value.choice):
        return closed(f"{name}.choice")
    if value.grammar is not None and one_expansion(value.grammar):
        return closed(f"{name}.grammar")
    return None


def closed(name: str) -> Breach:
    """A constraint under which the model has nothing left to choose."""
    return Breach(name, "must leave more than one answer", None)


MEANINGS: Final[dict[str, Rule]] = {
    "top_k": top_k,
    "min_p": min_p,
    "typical_p": mass,
    "top_n_sigma": top_n_sigma,
    "xtc_probability": xtc_probability,
    "mirostat_tau": mirostat_tau,
    "mirostat_eta": mirostat_eta,
    "samplers": samplers,
    "dynatemp_range": dynatemp_range,
    "repetition_penalty": repetition,
    "repeat_penalty": repetition,
    "use_beam_search": use_beam_search,
    "allowed_token_ids": tokens,
    "regex": regex,
    "guided_regex": regex,
    "ebnf": grammar,
    "grammar": grammar,
    "guided_grammar": grammar,
    "json_schema": schema,
    "guided_json": schema,
    "guided_choice": choice,
    "structured_outputs": structured,
}

HARMLESS: Final = frozenset(
    {
        # More candidates, or the model's own ones made rarer where they repeat
        "min_keep", "dry_multiplier", "dry_base", "dry_allowed_length", "dry_penalty_last_n", "dry_sequence_breakers",
        "repeat_last_n",
        # Bounded by the field that they belong to
        "xtc_threshold", "mirostat", "dynatemp_exponent", "length_penalty",
        # Granted with `logit_bias` and `prefill`, or not
        "bad_words", "continue_final_message",
        # The prompt, and where the answer ends
        "chat_template_kwargs", "truncate_prompt_tokens", "min_tokens", "ignore_eos", "stop_token_ids",
        "include_stop_str_in_output", "no_stop_trim", "skip_special_tokens", "spaces_between_special_tokens",
    }
)  # fmt: skip
