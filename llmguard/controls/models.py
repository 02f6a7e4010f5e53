"""Which models a principal may use."""

from collections.abc import Mapping

from msgspec.structs import replace

from llmguard.catalogue import Catalogue
from llmguard.control import Step
from llmguard.errors import Denial
from llmguard.exchange import Exchange
from llmguard.upstreams.upstream import Upstream
from llmguard.wire.engine_fields import foreign
from llmguard.wire.models import MODEL


class Models(Step):
    """Finds the model; one that the principal may not use answers as one that does not exist."""

    def __init__(self, catalogue: Catalogue, upstreams: Mapping[str, Upstream]) -> None:
        self._catalogue = catalogue
        self._upstreams = upstreams

    async def admit(self, exchange: Exchange) -> Exchange | Denial:
        """Set `target`, or refuse."""
        name = exchange.model
        if exchange.endpoint is MODEL:
            name = exchange.head.path.removeprefix("/v1/models/")
        if not name:
            return exchange
        target = self._catalogue.visible(exchange.principal.policy).get(name)
        if target is None:
            return Denial("model_not_found", param="model", final=True)
        if exchange.endpoint is MODEL:
            return replace(exchange, model=name, target=target)
        if target.task != exchange.endpoint.task:
            return Denial("invalid_value", "This model does not serve this endpoint.", param="model", final=True)
        request = exchange.request
        if request is None:
            return replace(exchange, target=target)
        name = foreign(request, self._upstreams[target.upstream].extensions) or ""
        if name:
            return Denial("unknown_parameter", f"'{name}' is not a parameter of this model.", param=name, final=True)
        return replace(exchange, target=target)
