"""Whether a request's distribution is deterministic or narrower than the policy's floors, whatever spells it."""

from collections.abc import Iterator, Sequence
from typing import Final

from llmguard.decoding.bias import forces
from llmguard.decoding.breach import Breach
from llmguard.decoding.constraints import one_value
from llmguard.decoding.engines import Defaults
from llmguard.decoding.headroom import narrowed
from llmguard.decoding.meanings import MEANINGS, closed, mass
from llmguard.settings_policies import Decoding
from llmguard.wire.chat import ChatRequest, JsonSchemaFormat, NamedFunction, NamedTool
from llmguard.wire.completions import CompletionRequest
from llmguard.wire.engine_fields import Fields
from llmguard.wire.model_request import ModelRequest

RULED: Final = Fields(MEANINGS)


def breaches(request: ModelRequest, defaults: Defaults, floors: Decoding) -> list[Breach]:
    """Every field that leaves too little to chance, in a fixed order; none where the request may pass.

    `defaults` hold for what the request leaves out. A request in which each breach is lifted has none.
    """
    found: list[Breach] = []
    asked = request.temperature
    temperature = defaults.temperature if asked is None else asked
    if temperature < floors.min_temperature:
        temperature = floors.min_temperature
        lifted = {"temperature": temperature}
        found.append(Breach("temperature", f"must be at least {temperature:g}", lifted, asked is not None))
    top_p = defaults.top_p if request.top_p is None else request.top_p
    if top_p < floors.min_top_p and (breach := mass("top_p", top_p, request, floors, temperature)):
        found.append(breach if request.top_p is not None else _unasked(breach))
    for name, value in RULED.given(request):
        if breach := MEANINGS[name](name, value, request, floors, temperature):
            found.append(breach)
    found.extend(_absent(request, defaults, floors, temperature))
    if breach := narrowed(request, defaults, floors, temperature):
        found.append(breach)
    if request.logit_bias and forces(request.logit_bias, temperature, cut=_cuts(request, defaults)):
        found.append(Breach("logit_bias", "must not force a token", {"logit_bias": None}))
    if isinstance(request, CompletionRequest):
        if request.best_of is not None and request.best_of > (request.n or 1):
            # The likeliest of several answers: the more there are, the surer it is always the same one.
            found.append(Breach("best_of", "must not be more than 'n'", {"best_of": None}))
    elif request.response_format is not None or request.tool_choice is not None or request.functions is not None:
        found.extend(_shaped(request))
    return found


def _cuts(request: ModelRequest, defaults: Defaults) -> bool:
    """Whether unlikely candidates are cut away: their share is then nothing, however many there are."""
    top_p = defaults.top_p if request.top_p is None else request.top_p
    top_k = defaults.top_k if request.top_k is None else request.top_k
    min_p = defaults.min_p if request.min_p is None else request.min_p
    return top_p < 1 or top_k > 0 or min_p > 0 or (request.typical_p or 1) < 1


def _absent(request: ModelRequest, defaults: Defaults, floors: Decoding, temperature: float) -> Sequence[Breach]:
    """What the defaults of fields that the request leaves out do; zero is no cut."""
    if defaults.top_k <= 0 and defaults.min_p <= 0:
        return ()
    unasked = [name for name in ("top_k", "min_p") if getattr(request, name) is None]
    found = [MEANINGS[name](name, getattr(defaults, name), request, floors, temperature) for name in unasked]
    return [_unasked(breach) for breach in found if breach is not None]


def _unasked(breach: Breach) -> Breach:
    return Breach(breach.param, breach.reason, breach.lifted, asked=False)


def _shaped(request: ChatRequest) -> Iterator[Breach]:
    """A shape of the answer that one answer alone has."""
    wanted = request.response_format
    if isinstance(wanted, JsonSchemaFormat) and one_value(wanted.json_schema.schema):
        yield closed("response_format")
    if (choice := request.tool_choice) is not None:
        schemas = {tool.function.name: tool.function.parameters for tool in request.tools or ()}
        if isinstance(choice, NamedTool):
            schemas = {choice.function.name: schemas.get(choice.function.name)}
        if choice not in ("none", "auto") and len(schemas) == 1 and all(map(one_value, schemas.values())):
            yield closed("tool_choice")
    if isinstance(request.function_call, NamedFunction):
        called = request.function_call.name
        if any(one_value(each.parameters) for each in request.functions or () if each.name == called):
            yield closed("function_call")
