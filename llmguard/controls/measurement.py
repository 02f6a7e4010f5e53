"""Metrics of every request."""

from typing import Literal

from llmguard.control import Step
from llmguard.exchange import Exchange, Outcome
from llmguard.metrics import Metrics


class Measurement(Step):
    """Stands first, so it counts every request, decision, time and token; serves even what it cannot count."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    @property
    def on_error(self) -> Literal["deny", "allow"]:
        """Allow."""
        return "allow"

    async def settle(self, exchange: Exchange, outcome: Outcome) -> None:
        """Count."""
        model = exchange.model if exchange.target is not None else ""
        self._metrics.served(exchange.endpoint.name, model, outcome.status, outcome.duration_s, outcome.first_byte_s)
        if outcome.decision == "deny":
            self._metrics.decided(outcome.control, outcome.code, "enforce")
        for control, code in exchange.observed:
            self._metrics.decided(control, code, "observe")
        if outcome.usage is not None:
            self._metrics.spent(model, outcome.usage.prompt_tokens, outcome.usage.completion_tokens)
