"""Which endpoints a principal may use."""

from llmguard.control import Step
from llmguard.errors import Denial
from llmguard.exchange import Exchange


class Endpoints(Step):
    """Refuses an endpoint that the policy does not name; decided before the body is read."""

    async def admit(self, exchange: Exchange) -> Exchange | Denial:
        """Let the policy's endpoints pass."""
        name = exchange.endpoint.name
        if name == "embeddings":
            return Denial("embeddings_not_exported", final=True)
        if name not in exchange.policy.endpoints:
            return Denial("endpoint_not_allowed")
        return exchange
