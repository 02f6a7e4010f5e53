"""Where changes of state are told: counted, kept for operators, and sent to a webhook."""

from collections import deque
from collections.abc import Iterable

from llmguard.metrics import Metrics
from llmguard.risk.desk import ALERTS_KEPT
from llmguard.risk.report import Alert
from llmguard.risk.webhook import Webhook


class Outlet:
    """The last ALERTS_KEPT alerts, and what becomes of each."""

    def __init__(self, metrics: Metrics, webhook: Webhook | None) -> None:
        self._metrics = metrics
        self._alerts: deque[Alert] = deque(maxlen=ALERTS_KEPT)
        self.webhook = webhook

    def tell(self, alerts: Iterable[Alert]) -> None:
        """Tell of these; waits for nothing."""
        for alert in alerts:
            self._metrics.risk_changed(alert.scope, alert.before, alert.state)
            self._alerts.append(alert)
            if self.webhook is not None:
                self.webhook.send(alert)

    def last(self, limit: int) -> list[Alert]:
        """The newest, the newest first."""
        return list(self._alerts)[::-1][:limit]
