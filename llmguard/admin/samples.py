"""The samples of prompts, over HTTP, for operators; every reading is in the audit log. Whoever mounts this
authenticates them.
"""

import asyncio
from collections.abc import Callable
from typing import Annotated

import msgspec
from fastapi import APIRouter, Query, Request
from pydantic import BaseModel

from llmguard.audit_log import AuditLog
from llmguard.clock import Clock
from llmguard.errors import Denial, Refused
from llmguard.samples import Samples, SamplesUnavailable

PATH = "/admin/v1/samples"
MOST = 1000


class SamplesRead(msgspec.Struct, tag="samples_read", tag_field="event"):
    """The audit line of a reading: when (epoch seconds), from which address, and which requests' prompts were shown."""

    at: float
    ip: str
    request_ids: tuple[str, ...]


class ShownSample(BaseModel):
    """One sample; `at` in epoch seconds, `prompt` as JSON, maybe cut."""

    request_id: str
    at: float
    key: str
    user: str
    tenant: str
    policy: str
    endpoint: str
    model: str
    prompt: str


class SampleList(BaseModel):
    """The newest samples, the newest first."""

    data: list[ShownSample]


def samples_router(samples: Callable[[], Samples | None], audit: AuditLog, clock: Clock) -> APIRouter:
    """The route. It raises Refused."""
    router = APIRouter()

    @router.get(PATH, tags=["samples"], operation_id="read_samples", summary="The samples of prompts")
    async def read(request: Request, limit: Annotated[int, Query(ge=1, le=MOST)] = 100) -> SampleList:
        kept = samples()
        if kept is None:
            raise Refused(Denial("not_found", "No samples are kept."))
        if audit.full:
            raise Refused(Denial("overloaded", retry_after_s=1.0))
        try:
            found = await asyncio.to_thread(kept.read, clock.time(), limit)
        except SamplesUnavailable as error:
            raise Refused(Denial("store_unavailable", retry_after_s=1.0)) from error
        peer = request.client.host if request.client is not None else ""
        line = SamplesRead(round(clock.time(), 3), peer, tuple(sample.request_id for sample in found))
        audit.write(msgspec.json.encode(line))
        return SampleList(data=[ShownSample(**msgspec.structs.asdict(sample)) for sample in found])

    return router
