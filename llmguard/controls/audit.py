"""One line for every request: who, what, how much, and what was decided. Never what was said."""

import msgspec

from llmguard.audit_log import AuditLog
from llmguard.clock import Clock
from llmguard.control import Step
from llmguard.errors import Denial
from llmguard.exchange import Exchange, Outcome


class AuditLine(msgspec.Struct, omit_defaults=True):
    """The line. Times in milliseconds, `at` in Unix seconds; no prompt, completion, key or client's text."""

    at: float
    request_id: str
    decision: str
    status: int
    endpoint: str
    model: str = ""
    key: str = ""
    user: str = ""
    tenant: str = ""
    policy: str = ""
    ip: str = ""
    code: str = ""
    control: str = ""
    observed: tuple[str, ...] = ()
    stream: bool = False
    request_bytes: int = 0
    response_bytes: int = 0
    input_tokens: int = -1
    output_tokens: int = -1
    first_byte_ms: float = -1.0
    duration_ms: float = 0.0
    watermark_key: str = ""
    watermark_scheme: str = ""
    watermark_tokens: int = -1
    sampled: bool = False


class Audit(Step):
    """Stands ahead of whatever decides, so it sees everything; refuses what it could not record."""

    def __init__(self, log: AuditLog, clock: Clock) -> None:
        self._log = log
        self._clock = clock
        self._encode = msgspec.json.Encoder().encode

    async def admit(self, exchange: Exchange) -> Exchange | Denial:
        """Refuse while the log's reader is stuck."""
        if self._log.full:
            return Denial("overloaded", retry_after_s=1.0, final=True)
        return exchange

    async def settle(self, exchange: Exchange, outcome: Outcome) -> None:
        """Write the line."""
        mark = exchange.marks.used if exchange.marks is not None else None
        who, usage, first = exchange.principal, outcome.usage, outcome.first_byte_s
        self._log.write(
            self._encode(
                AuditLine(
                    at=round(self._clock.time(), 3),
                    request_id=exchange.id,
                    decision=outcome.decision,
                    status=outcome.status,
                    endpoint=exchange.endpoint.name,
                    # A name that no policy shows is the client's own text, and stays out.
                    model=exchange.model if exchange.target is not None else "",
                    key=who.key,
                    user=who.user,
                    tenant=who.tenant,
                    policy=who.policy,
                    ip=who.ip,
                    code=outcome.code,
                    control=outcome.control,
                    observed=tuple(code for _, code in exchange.observed),
                    stream=exchange.stream,
                    request_bytes=exchange.body_bytes,
                    response_bytes=outcome.sent_bytes,
                    input_tokens=usage.prompt_tokens if usage else -1,
                    output_tokens=usage.completion_tokens if usage else -1,
                    first_byte_ms=round(first * 1000, 3) if first is not None else -1.0,
                    duration_ms=round(outcome.duration_s * 1000, 3),
                    watermark_key=mark.key_id if mark else "",
                    watermark_scheme=mark.scheme if mark else "",
                    watermark_tokens=usage.completion_tokens if mark and usage else -1,
                    sampled=exchange.sampled,
                )
            )
        )
