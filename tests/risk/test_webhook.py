"""Alerts arrive signed, again and again until they are taken, and never hold anybody up."""

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping

import pytest

from llmguard.errors import Denial, UpstreamFailure
from llmguard.metrics import Metrics
from llmguard.risk.report import Alert
from llmguard.risk.webhook import FIRST_PAUSE_S, MOST_WAITING, TRIES, Webhook
from tests.fakes.clock import FakeClock

pytestmark = pytest.mark.anyio
SECRET = b"webhook-secret"


def alert(id: str) -> Alert:
    """An alert."""
    return Alert(
        id=id, at=1.5, scope="key", subject="alice", before="normal", state="throttled", excused=False, prompts=60,
        log10_e=3.2, threshold_log10_e=3.0, cluster=None, members=(), signals={},
    )  # fmt: skip


class Endpoint:
    """An operator's endpoint: answers with these statuses in turn, then 204; 0 is none."""

    def __init__(self, *statuses: int) -> None:
        self.clock = FakeClock()
        self.metrics = Metrics()
        self.received: list[tuple[Mapping[str, str], str, bytes]] = []
        self.open = 0
        self._statuses = list(statuses)
        self._headers: Mapping[str, str] = {}
        self.status = 0
        self.webhook = Webhook(self.connect, "/hook", SECRET, self.clock, self.metrics)

    def connect(self, headers: Mapping[str, str]) -> "Endpoint":
        """A connection."""
        self._headers = headers
        self.open += 1
        return self

    async def post(self, path: str, body: bytes, *, timeout_s: float) -> "Endpoint":
        """Take a request."""
        self.received.append((self._headers, path, body))
        self.status = self._statuses.pop(0) if self._statuses else 204
        if not self.status:
            raise UpstreamFailure(Denial("upstream_error"), retryable=True)
        self.open += 1
        return self

    async def whole(self, limit: int) -> bytes:
        """Nothing more."""
        return b""

    def close(self) -> None:
        """Note it."""
        self.open -= 1

    def counted(self, outcome: str) -> bool:
        """Whether it is in the metrics."""
        return f'llmguard_webhooks_total{{outcome="{outcome}"}} 1.0' in self.metrics.exposition().decode()


async def test_it_is_signed_as_standard_webhooks_are() -> None:
    endpoint = Endpoint()
    endpoint.webhook.send(alert("alert_1"))
    await endpoint.webhook.deliver()
    ((headers, path, body),) = endpoint.received
    assert path == "/hook"
    assert json.loads(body)["data"]["subject"] == "alice"
    assert (headers["webhook-id"], headers["webhook-timestamp"]) == ("alert_1", "1800000000")
    digest = hmac.new(SECRET, b"alert_1.1800000000." + body, hashlib.sha256).digest()
    assert headers["webhook-signature"] == "v1," + base64.b64encode(digest).decode()
    assert SECRET.decode() not in str(headers)
    assert endpoint.counted("delivered")
    assert endpoint.open == 0


@pytest.mark.parametrize("failure", [500, 302, 404, 0])
async def test_it_is_sent_again_until_it_is_taken(failure: int) -> None:
    endpoint = Endpoint(failure, failure)
    endpoint.webhook.send(alert("alert_1"))
    await endpoint.webhook.deliver()
    await endpoint.webhook.deliver()
    assert len(endpoint.received) == 1
    endpoint.clock.advance(FIRST_PAUSE_S)
    await endpoint.webhook.deliver()
    endpoint.clock.advance(2 * FIRST_PAUSE_S)
    await endpoint.webhook.deliver()
    assert [headers["webhook-id"] for headers, _, _ in endpoint.received] == ["alert_1"] * 3
    assert endpoint.counted("delivered")
    assert endpoint.open == 0


async def test_it_is_given_up_after_a_minute() -> None:
    endpoint = Endpoint(*[500] * 20)
    endpoint.webhook.send(alert("alert_1"))
    for _ in range(100):
        await endpoint.webhook.deliver()
        endpoint.clock.advance(1.0)
    assert len(endpoint.received) == TRIES
    assert endpoint.counted("failed")


async def test_the_oldest_is_dropped_where_too_many_wait() -> None:
    endpoint = Endpoint()
    for number in range(MOST_WAITING + 1):
        endpoint.webhook.send(alert(f"alert_{number}"))
    assert endpoint.counted("dropped")
    await endpoint.webhook.deliver()
    assert endpoint.received[0][0]["webhook-id"] == "alert_1"
    assert len(endpoint.received) == MOST_WAITING
