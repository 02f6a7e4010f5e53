"""What a policy makes of a request's decoding: refused, changed, or left as it is."""

from collections import Counter
from collections.abc import Iterator
from operator import attrgetter
from typing import Any, TypeAlias

from msgspec.structs import replace

from llmguard.decoding.bias import biased
from llmguard.decoding.engines import Engine
from llmguard.decoding.judgement import breaches
from llmguard.errors import Denial
from llmguard.settings_policies import Decoding
from llmguard.wire.chat import AssistantMessage, ChatRequest
from llmguard.wire.completions import CompletionRequest
from llmguard.wire.model_request import ModelRequest

Changes: TypeAlias = dict[str, Any]

MOST_CANDIDATES = 5
"""So many of a token's alternatives are told where log-probabilities are granted coarsely."""
BIASING = ("logit_bias", "allowed_token_ids", "bad_words")
NO_BIAS = (None,) * len(BIASING)
_biases = attrgetter(*BIASING)


def verdict(request: ModelRequest, engine: Engine, floors: Decoding) -> Denial | Changes:
    """Why the request is refused, or the fields of it that change, empty where none does.

    `engine` is the row of what will serve it, with that model's own defaults. A denial's `param` is the field at
    fault, and its message names the floor.
    """
    changes: Changes = {}
    if (denial := _too_much(request, floors)) is not None:
        return denial
    for found in _not_granted(request, engine, floors):
        if isinstance(found, Denial):
            return found
        changes |= found
    if floors.deterministic == "allow":
        return changes
    left = replace(request, **changes) if changes else request
    for breach in breaches(left, engine.defaults, floors):
        # What the client did not ask for is mended in any case: it could not know.
        if breach.lifted is None or (floors.deterministic == "refuse" and breach.asked):
            return Denial("deterministic_decoding", f"'{breach.param}' {breach.reason} here.", breach.param)
        changes |= breach.lifted
    return changes


def _too_much(request: ModelRequest, floors: Decoding) -> Denial | None:
    """More answers, or longer ones, than the policy gives."""
    name = "max_tokens"
    most = request.max_tokens
    if isinstance(request, ChatRequest) and request.max_completion_tokens is not None:
        name, most = "max_completion_tokens", request.max_completion_tokens
    if most is not None and most > floors.max_output_tokens:
        return _at_most(name, floors.max_output_tokens)
    if request.n is not None and request.n > floors.max_n:
        return _at_most("n", floors.max_n)
    if isinstance(request, CompletionRequest):
        if request.best_of is not None and request.best_of > floors.max_n:
            return _at_most("best_of", floors.max_n)
        if isinstance(request.prompt, list):
            repeated = max(Counter(request.prompt).values())
            if repeated > 1 and repeated * (request.n or 1) > floors.max_n:
                message = f"'prompt' must ask for at most {floors.max_n} answers to one text."
                return Denial("invalid_value", message, "prompt")
    return None


def _at_most(name: str, bound: int) -> Denial:
    return Denial("invalid_value", f"'{name}' must be at most {bound} here.", name)


def _not_granted(request: ModelRequest, engine: Engine, floors: Decoding) -> Iterator[Denial | Changes]:
    """Fields that the policy refuses or drops by their names."""
    if request.seed is not None and floors.seed != "allow":
        yield _refused("seed") if floors.seed == "refuse" else {"seed": None}
    bias = _biasing(request)
    if bias is not None and floors.logit_bias != "allow":
        yield _refused(bias) if floors.logit_bias == "refuse" else dict.fromkeys(BIASING)
        bias = None
    if reads_logits(request):
        yield from _logits(request, bias, floors)
    if isinstance(request, ChatRequest) and floors.prefill == "refuse":
        if request.continue_final_message:
            yield _refused("continue_final_message")
        elif engine.prefills and isinstance(request.messages[-1], AssistantMessage):
            yield _refused("messages", "'messages' must not end with the beginning of the answer here.")


def _logits(request: ModelRequest, bias: str | None, floors: Decoding) -> Iterator[Denial | Changes]:
    if floors.logprobs == "refuse":
        yield _refused("logprobs")
    elif floors.logprobs == "drop":
        chat = isinstance(request, ChatRequest)
        yield {"logprobs": None, "top_logprobs": None} if chat else {"logprobs": None}
    else:
        if bias is not None:
            # Together they give the logit of any token one likes, and so the last layer.
            yield _refused(bias, f"'{bias}' is not allowed together with 'logprobs'.")
        if floors.logprobs == "coarse":
            if isinstance(request, CompletionRequest) and request.echo:
                yield _refused("echo", "'echo' is not allowed together with 'logprobs'.")
            elif isinstance(request, ChatRequest) and (request.top_logprobs or 0) > MOST_CANDIDATES:
                yield {"top_logprobs": MOST_CANDIDATES}


def _refused(name: str, message: str = "") -> Denial:
    return Denial("parameter_not_allowed", message or f"'{name}' is not allowed here.", name)


def reads_logits(request: ModelRequest) -> bool:
    """Whether the request asks for log-probabilities; of the older endpoint 0 does, too."""
    return request.logprobs is not None and request.logprobs is not False


def spends(request: ModelRequest) -> frozenset[str]:
    """The tokens that the request takes of its principal's budget of biased ones."""
    return frozenset() if _biasing(request) is None else biased(request)


def _biasing(request: ModelRequest) -> str | None:
    """The first field of the request that changes the chance of tokens that it names."""
    if _biases(request) == NO_BIAS:
        return None
    return next(name for name in BIASING if getattr(request, name) is not None)
