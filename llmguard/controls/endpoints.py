"""Which endpoints a principal may use."""

from llmguard.control import Step
from llmguard.errors import Denial
from llmguard.exchange import Exchange
from llmguard.settings_policies import Policy


class Endpoints(Step):
    """Refuses an endpoint that the policy does not name; decided before the body is read."""

    async def admit(self, exchange: Exchange) -> Exchange | Denial:
        """Let the policy's endpoints pass."""
        name, policy = exchange.endpoint.name, exchange.policy
        if name == "embeddings" and (name not in policy.endpoints or not exports(policy)):
            return Denial("embeddings_not_exported", final=True)
        if name not in policy.endpoints:
            return Denial("endpoint_not_allowed")
        return exchange


def exports(policy: Policy) -> bool:
    """Whether any vector may leave."""
    return policy.outputs is not None and policy.outputs.embeddings == "reduced"
