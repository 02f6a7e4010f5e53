"""Whose text it is, over HTTP, for operators: by its mark, and by what is remembered. Mounted behind the token."""

import asyncio
from collections.abc import Callable
from fnmatch import fnmatchcase
from typing import Annotated, Any, Literal

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from llmguard.errors import Denial, Refused
from llmguard.mark import format_of, width_of
from llmguard.recollection import Recollection
from llmguard.settings import EmbeddedUpstream, Settings
from llmguard.store.store import Store
from llmguard.tenant_keys import TenantKeys

PATH = "/admin/v1/watermark"
EMBEDDED = "smollm2"
MOST_DOCUMENTS = 1000
MOST_TENANTS = 10_000
Text = Annotated[str, Field(max_length=1 << 20)]


class Body(BaseModel):
    """The base of the requests: unknown fields are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Given(Body):
    """A text, and what to call it."""

    name: str = Field(default="text", max_length=256)
    text: Text


class Detect(Body):
    """Texts, the public model that may have written them, and whose keys to try: every tenant's, if none is named."""

    model: str = Field(max_length=256)
    documents: list[Given] = Field(min_length=1, max_length=MOST_DOCUMENTS)
    tenants: list[Annotated[str, Field(max_length=128)]] | None = Field(
        default=None, min_length=1, max_length=MOST_TENANTS
    )
    epochs: list[Annotated[int, Field(ge=1, le=1 << 31)]] | None = Field(default=None, min_length=1, max_length=100)
    fpr: float = Field(default=1e-6, gt=0, lt=1)


class Span(BaseModel):
    """Marked tokens of the normalised text."""

    start: int
    end: int
    log10_p: float


class Detected(BaseModel):
    """What is said of one text, as by `llmguard watermark detect --json`; `tenant` is the key's."""

    document: str
    verdict: Literal["marked", "not_marked", "cannot_tell"]
    reason: str
    scheme: str | None
    key_id: str | None
    tenant: str | None
    tokens: int
    scored: int
    score: float | None
    p_value: float | None
    log10_p: float | None
    spans: list[Span]
    tested_keys: int
    runner_up_log10_p: float | None
    decoys: int
    decoy_rank_p: float | None


class DetectedList(BaseModel):
    """One for each text; of text whose mark is in picks, one for all."""

    object: Literal["list"] = "list"
    data: list[Detected]


class Lookup(Body):
    """A text that may hold parts of an answer."""

    text: Text


class Origin(BaseModel):
    """A request whose answer shares `matched` of its `kept` hashes with the text; `at` is in epoch seconds."""

    request_id: str
    at: int
    key: str
    tenant: str
    model: str
    watermark_key: str
    kept: int
    matched: int


class OriginList(BaseModel):
    """The likeliest first."""

    object: Literal["list"] = "list"
    data: list[Origin]


class WatermarkApi:
    """The two endpoints. One detection runs at a time, in a thread."""

    def __init__(
        self, store: Store, keys: TenantKeys, recollection: Recollection, settings: Callable[[], Settings]
    ) -> None:
        self._store = store
        self._keys = keys
        self._recollection = recollection
        self._settings = settings
        self._turn = asyncio.Lock()

    async def detect(self, body: Detect) -> DetectedList:
        """Say of each text whether it carries a tenant's mark."""
        settings = self._settings()
        model = settings.models.get(body.model)
        if model is None or model.task != "chat":
            raise Refused(Denial("invalid_value", "There is no such chat model.", param="model"))
        embedded = isinstance(settings.upstreams[model.upstream], EmbeddedUpstream)
        tokenizer = model.tokenizer or (EMBEDDED if embedded else None)
        keys = await self._tested(settings, body)
        if tokenizer is None and any(scheme != "selection" for scheme, *_ in keys):
            raise Refused(Denial("invalid_value", "The model's `tokenizer` is not in the settings.", param="model"))
        tenants = {id: tenant for *_, id, tenant in keys}
        async with self._turn:
            found = await asyncio.to_thread(_detected, body, [key[:4] for key in keys], tokenizer, model.vocabulary)
        return DetectedList(
            data=[Detected.model_validate({**one, "tenant": tenants.get(str(one["key_id"]))}) for one in found]
        )

    async def lookup(self, body: Lookup) -> OriginList:
        """Say which requests' answers a text shares phrases with, as far as they are remembered."""
        policies = self._settings().policies.values()
        kept = {policy.watermark.remember for policy in policies if policy.watermark is not None}
        traces = await self._recollection.find(body.text, sorted(lasts for lasts in kept if lasts is not None))
        return OriginList(
            data=[
                Origin(matched=trace.matched, **{name: getattr(trace.source, name) for name in SOURCE})
                for trace in traces
            ]
        )

    async def _tested(self, settings: Settings, body: Detect) -> list[tuple[str, int, int, str, str]]:
        """Every key under which a policy may have had the model's text marked: format, width, word, id, tenant."""
        model = settings.models[body.model]
        upstream = settings.upstreams[model.upstream]
        formats = {
            (scheme, width_of(scheme, setting), epoch)
            for policy in settings.policies.values()
            if (setting := policy.watermark) is not None
            and any(fnmatchcase(body.model, pattern) for pattern in policy.models)
            and (scheme := format_of(setting, upstream, model)) is not None
            for epoch in (body.epochs or [setting.epoch])
        }
        if not formats:
            raise Refused(Denial("invalid_value", "No policy has the text of this model marked.", param="model"))
        tenants = body.tenants or sorted(
            {key.tenant for key in settings.keys} | {record.tenant for record in await self._store.list_keys()}
        )
        if not tenants:
            raise Refused(Denial("invalid_value", "There is no tenant whose key could be tried.", param="tenants"))
        return [
            (scheme, width, *await self._keys.key(scheme, tenant, epoch, body.model), tenant)
            for scheme, width, epoch in sorted(formats)
            for tenant in dict.fromkeys(tenants)
        ]


SOURCE = tuple(name for name in Origin.model_fields if name != "matched")


def watermark_router(
    store: Store, keys: TenantKeys, recollection: Recollection, settings: Callable[[], Settings]
) -> APIRouter:
    """The routes under `/admin/v1/watermark`. They raise `Refused` and `StoreUnavailable`."""
    api = WatermarkApi(store, keys, recollection, settings)
    router = APIRouter()
    for name, endpoint in (("detect", api.detect), ("lookup", api.lookup)):
        router.add_api_route(
            f"{PATH}/{name}", endpoint, methods=["POST"], tags=["watermark"], operation_id=f"{name}_watermark"
        )
    return router


def _detected(body: Detect, keys: list[Any], tokenizer: str | None, vocabulary: int | None) -> list[dict[str, object]]:
    # numpy, scipy and a tokenizer, which a gateway that is not asked for them does without.
    from llmguard.detection import detected  # noqa: PLC0415
    from watermark.documents.document import Document  # noqa: PLC0415
    from watermark.tokenizer import TokenizerError  # noqa: PLC0415

    documents = [
        Document(one.name, one.text, None if one.text.strip() else "it holds no text") for one in body.documents
    ]
    try:
        return detected(documents, keys, tokenizer, vocabulary, body.fpr)
    except TokenizerError as error:
        raise Refused(Denial("invalid_value", "The model's tokenizer cannot be read.", param="model")) from error
