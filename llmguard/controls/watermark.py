"""Whose text it is: a statistical mark under the tenant's own key."""

from collections.abc import Callable

from msgspec.structs import replace

from llmguard.control import Step
from llmguard.errors import Denial
from llmguard.exchange import Exchange
from llmguard.mark import SGLANG, SGLANG_WIDTH, Mark, Marks, format_of
from llmguard.settings import Model, Settings
from llmguard.settings import Watermark as Setting
from llmguard.wire.chat import ChatRequest, TextFormat
from llmguard.wire.model_request import ModelRequest
from watermark.keys.words import key_id, words


class Watermark(Step):
    """Attaches the mark that whatever samples is to leave in its text; no field of a client's takes part.

    Keys are derived, per format, tenant, epoch and public model, from `master`, so that every guard of one secret
    marks alike and nothing must be kept. `chance()` is uniform on [0, 1).
    """

    def __init__(self, settings: Settings, master: bytes, chance: Callable[[], float]) -> None:
        self._models = settings.models
        self._upstreams = settings.upstreams
        self._master = master
        self._chance = chance

    async def admit(self, exchange: Exchange) -> Exchange | Denial:
        """Set `marks`, where the policy has text marked and this text can be."""
        setting, target, request = exchange.policy.watermark, exchange.target, exchange.request
        if setting is None or target is None or request is None or not suited(request):
            return exchange
        if self._chance() >= setting.fraction:
            return exchange
        tenant = exchange.principal.tenant
        served = {exchange.model: target} | {name: self._models[name] for name in target.fallbacks}
        marks = {name: self._mark(setting, tenant, name, model) for name, model in served.items()}
        return replace(exchange, marks=Marks({name: mark for name, mark in marks.items() if mark is not None}))

    def _mark(self, setting: Setting, tenant: str, name: str, model: Model) -> Mark | None:
        scheme = format_of(setting.scheme, self._upstreams[model.upstream])
        if scheme is None:
            return None
        key, id = derived(self._master, scheme=scheme, tenant=tenant, epoch=setting.epoch, model=name)
        width = SGLANG_WIDTH if scheme == SGLANG else setting.context_width
        return Mark(id, scheme, width, key)


def derived(master: bytes, *, scheme: str, tenant: str, epoch: int, model: str) -> tuple[int, str]:
    """A tenant's key and its id."""
    (key,) = words(master, scheme=scheme, tenant=tenant, epoch=epoch, model=model)
    return key, key_id(master, scheme=scheme, tenant=tenant, epoch=epoch, model=model)


def suited(request: ModelRequest) -> bool:
    """Whether there is a choice to mark: not in greedy decoding, nor where a grammar leaves few choices.

    A request that offers tools may be answered by a call, whose arguments are JSON.
    """
    if request.temperature == 0 or request.top_p == 0 or request.top_k == 1:
        return False
    if not isinstance(request, ChatRequest):
        return True
    free = request.response_format is None or isinstance(request.response_format, TextFormat)
    return free and not calls(request)


def calls(request: ChatRequest) -> bool:
    """Whether the answer may be a call."""
    tools = bool(request.tools) and request.tool_choice != "none"
    return tools or (bool(request.functions) and request.function_call != "none")
