"""Alerts to the operator's own endpoint, signed as Standard Webhooks spells it.

Each alert is sent until the endpoint answers with 2xx, at most TRIES times over a minute: so at least once, under one
`webhook-id`, unless the endpoint fails for longer, more than MOST_WAITING wait, or the process ends first. What is
given up is counted. Nothing waits for it.
"""

import base64
import hmac
import logging
from collections import deque
from collections.abc import Callable, Mapping
from typing import Final, Protocol

import msgspec

from llmguard.clock import Clock
from llmguard.errors import UpstreamFailure
from llmguard.metrics import Metrics
from llmguard.risk.report import Alert

log = logging.getLogger(__name__)

TRIES: Final = 6
FIRST_PAUSE_S: Final = 2.0
"""Doubled after each try: 2, 4, 8, 16, 32."""
MOST_WAITING: Final = 1000
TIMEOUT_S: Final = 10.0
LARGEST_ANSWER: Final = 65_536
TICK_S: Final = 0.2


class Response(Protocol):
    """An answer whose head is here."""

    status: int

    async def whole(self, limit: int) -> bytes: ...

    def close(self) -> None: ...


class Client(Protocol):
    """What sends one request."""

    async def post(self, path: str, body: bytes, *, timeout_s: float) -> Response: ...

    def close(self) -> None: ...


class Waiting(msgspec.Struct):
    """An alert to be sent, how often it was tried, and when it is due."""

    id: str
    body: bytes
    tries: int
    due: float


class Webhook:
    """One endpoint; `connect(headers)` gives a client of it that sends these."""

    def __init__(
        self, connect: Callable[[Mapping[str, str]], Client], path: str, secret: bytes, clock: Clock, metrics: Metrics
    ) -> None:
        self._connect = connect
        self._path = path
        self._secret = secret
        self._clock = clock
        self._metrics = metrics
        self._waiting: deque[Waiting] = deque()
        self._encode = msgspec.json.Encoder().encode

    def send(self, alert: Alert) -> None:
        """Take an alert; the oldest that waits is given up where there are too many."""
        if len(self._waiting) >= MOST_WAITING:
            self._waiting.popleft()
            self._metrics.webhook("dropped")
        body = self._encode({"type": "risk.changed", "timestamp": alert.at, "data": alert})
        self._waiting.append(Waiting(alert.id, body, 0, self._clock.monotonic()))

    async def run(self) -> None:
        """Deliver, until cancelled."""
        while True:
            await self.deliver()
            await self._clock.sleep_until(self._clock.monotonic() + TICK_S)

    async def deliver(self) -> None:
        """Try once whatever is due now."""
        for _ in range(len(self._waiting)):
            waiting = self._waiting.popleft()
            if waiting.due > self._clock.monotonic():
                self._waiting.append(waiting)
                continue
            if await self._delivered(waiting):
                self._metrics.webhook("delivered")
            elif waiting.tries + 1 >= TRIES:
                self._metrics.webhook("failed")
                log.error("alert %s could not be delivered in %d tries", waiting.id, TRIES)
            else:
                pause = FIRST_PAUSE_S * 2**waiting.tries
                self._waiting.append(
                    Waiting(waiting.id, waiting.body, waiting.tries + 1, self._clock.monotonic() + pause)
                )

    async def _delivered(self, waiting: Waiting) -> bool:
        at = int(self._clock.time())
        client = self._connect(
            {
                "content-type": "application/json",
                "webhook-id": waiting.id,
                "webhook-timestamp": str(at),
                "webhook-signature": signature(self._secret, waiting.id, at, waiting.body),
            }
        )
        try:
            answer = await client.post(self._path, waiting.body, timeout_s=TIMEOUT_S)
            try:
                await answer.whole(LARGEST_ANSWER)
                return 200 <= answer.status < 300
            finally:
                answer.close()
        except UpstreamFailure:
            return False
        finally:
            client.close()


def signature(secret: bytes, id: str, at: int, body: bytes) -> str:
    """`v1,` and the base64 of HMAC-SHA256 over `id.timestamp.body`."""
    signed = f"{id}.{at}.".encode() + body
    return "v1," + base64.b64encode(hmac.digest(secret, signed, "sha256")).decode()
