"""Whose text it is: a statistical mark under the tenant's own key."""

from collections.abc import Callable, Iterator

from msgspec.structs import replace

from llmguard.control import Step
from llmguard.decoding.verdict import reads_logits
from llmguard.errors import Denial
from llmguard.exchange import Exchange
from llmguard.mark import SELECTION, UNIGRAM, Mark, Marks, format_of, mark_of
from llmguard.settings import Model, Settings
from llmguard.settings_policies import Watermark as Setting
from llmguard.store.store import StoreUnavailable
from llmguard.tenant_keys import TenantKeys
from llmguard.wire.chat import ChatRequest, TextFormat
from llmguard.wire.completions import CompletionRequest
from llmguard.wire.model_request import ModelRequest

MOST_CHOICES = 128
"""More choices no upstream makes in one call."""


class Watermark(Step):
    """Attaches the mark that whatever samples is to leave in its text; no field of a client's takes part.

    It stands ahead of the quotas, since of some formats an answer costs several. `chance()` is uniform on [0, 1).
    """

    def __init__(self, settings: Settings, keys: TenantKeys, chance: Callable[[], float]) -> None:
        self._models = settings.models
        self._upstreams = settings.upstreams
        self._keys = keys
        self._chance = chance

    async def admit(self, exchange: Exchange) -> Exchange | Denial:
        """Set `marks`, where the policy has text marked and this text can be."""
        setting, target, request = exchange.policy.watermark, exchange.target, exchange.request
        if setting is None or target is None or request is None or not suited(request):
            return exchange
        drawn, marks = self._chance(), {}
        for name, model in self._serving(exchange, target):
            try:
                mark = await self._mark(setting, exchange, name, model, drawn)
            except StoreUnavailable:
                return Denial("store_unavailable", retry_after_s=1.0)
            if mark is not None and bearable(request, mark):
                marks[name] = mark
        return replace(exchange, marks=Marks(marks)) if marks else exchange

    def _serving(self, exchange: Exchange, target: Model) -> Iterator[tuple[str, Model]]:
        """Whatever may come to serve it: the model, what a quota degrades it to, and what stands in for either."""
        degrade = exchange.policy.degrade
        cheaper = degrade.model if degrade is not None else None
        for name, model in ((exchange.model, target), (cheaper, self._models.get(cheaper or ""))):
            if name is not None and model is not None:
                yield name, model
                yield from ((other, self._models[other]) for other in model.fallbacks)

    async def _mark(self, setting: Setting, exchange: Exchange, name: str, model: Model, drawn: float) -> Mark | None:
        upstream = self._upstreams[model.upstream]
        scheme = format_of(setting, upstream, model)
        if scheme is None or drawn >= share_of(setting, scheme):
            return None
        key = await self._keys.key(scheme, exchange.principal.tenant, setting.epoch, name)
        return mark_of(setting, upstream, model, key, stream=exchange.stream)


def share_of(setting: Setting, scheme: str) -> float:
    """The share of the answers that carry a mark of this format."""
    return setting.selection.fraction if scheme == SELECTION and setting.selection is not None else setting.fraction


def suited(request: ModelRequest) -> bool:
    """Whether there is a choice to mark: not in greedy decoding, nor where a grammar leaves few choices.

    A request that offers tools may be answered by a call, whose arguments are JSON.
    """
    if request.temperature == 0 or request.top_p == 0 or request.top_k == 1 or constrained(request):
        return False
    if not isinstance(request, ChatRequest):
        return True
    free = request.response_format is None or isinstance(request.response_format, TextFormat)
    return free and not calls(request)


def constrained(request: ModelRequest) -> bool:
    """Whether a field of the engine's own says which answers there are."""
    given = (
        request.regex, request.ebnf, request.grammar, request.json_schema, request.structured_outputs,
        request.guided_json, request.guided_regex, request.guided_choice, request.guided_grammar,
    )  # fmt: skip
    return any(one is not None for one in given) or bool(request.use_beam_search)


def calls(request: ChatRequest) -> bool:
    """Whether the answer may be a call."""
    tools = bool(request.tools) and request.tool_choice != "none"
    return tools or (bool(request.functions) and request.function_call != "none")


def bearable(request: ModelRequest, mark: Mark) -> bool:
    """Whether this request can have a mark of this format.

    A bias beside log-probabilities would read out which tokens it favours; a server that searches for the best of
    several does its own picking.
    """
    if mark.scheme == UNIGRAM:
        return not reads_logits(request)
    if mark.scheme == SELECTION:
        best = isinstance(request, CompletionRequest) and bool(request.best_of or request.echo or request.suffix)
        return not best and (request.n or 1) * mark.candidates <= MOST_CHOICES
    return True
