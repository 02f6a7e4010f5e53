"""What is held against whom, over HTTP, for operators. Whoever mounts this authenticates them."""

from collections.abc import Callable, Iterable
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Path, Query
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from llmguard.errors import Denial, Refused
from llmguard.keyring import Keyring
from llmguard.risk.desk import ALERTS_KEPT, Desk, Holder
from llmguard.risk.report import Report, Scope, together
from llmguard.risk.response import threshold
from llmguard.risk.standing import State
from llmguard.settings import Settings
from llmguard.settings_policies import Prompts
from llmguard.settings_values import TEN_YEARS_S
from llmguard.store.store import KeyRecord

PATH = "/admin/v1/risk/{scope}/{id}"
ALERTS = "/admin/v1/alerts"
Subject = Annotated[str, Path(max_length=512, description="Whose.")]
Limit = Annotated[int, Query(ge=1, le=ALERTS_KEPT, description="The most alerts.")]


class Pin(BaseModel):
    """The state that a principal is held in, whatever its evidence; for good without `for_s`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    state: State
    for_s: float | None = Field(default=None, gt=0, le=TEN_YEARS_S, allow_inf_nan=False)


class ShownSignal(BaseModel):
    """One statistic: its p-value, its e-value, and the number of prompts that it is about."""

    p: float
    e: float
    window: int


class Risk(BaseModel):
    """How a principal stands. Times are Unix seconds.

    `state` is what its requests meet, in `mode: observe` what they would meet; `excused` says that the policy allows
    automation, which then meets nothing. A user's or a tenant's is that of its worst key, with the prompts of all.
    """

    scope: Scope
    id: str
    policy: str
    state: State
    prompts: int
    log10_e: float
    threshold_log10_e: float
    flagged_at: float | None
    flagged_after_prompts: int | None
    cluster: str | None
    signals: dict[str, ShownSignal]
    members: list[str]
    excused: bool
    pinned: bool
    strikes: int
    heat: float
    last_seen_at: float | None


class ShownAlert(BaseModel):
    """A change of state, and the evidence then."""

    id: str
    at: float
    scope: Scope
    subject: str
    before: State
    state: State
    excused: bool
    prompts: int
    log10_e: float
    threshold_log10_e: float
    cluster: str | None
    members: list[str]
    signals: dict[str, ShownSignal]


class AlertList(BaseModel):
    """The last changes of state, the newest first."""

    object: str = "list"
    data: list[ShownAlert]


class RiskApi:
    """The five endpoints."""

    def __init__(
        self, desk: Callable[[], Desk | None], settings: Callable[[], Settings], keyring: Callable[[], Keyring]
    ) -> None:
        self._desk = desk
        self._settings = settings
        self._keyring = keyring

    async def show(self, scope: Scope, id: Subject) -> Risk:
        """How a key, a user, a tenant or a cluster stands."""
        return Risk.model_validate(msgspec.to_builtins(await self._report(scope, id)))

    async def pardon(self, scope: Scope, id: Subject) -> Risk:
        """Forget what is held against it, pins included; its evidence begins anew."""
        desk = self._watching()
        for holder in await self._holders(scope, id):
            await desk.pardon(holder)
        return await self.show(scope, id)

    async def pin(self, scope: Scope, id: Subject, body: Pin) -> Risk:
        """Hold it in a state."""
        desk = self._watching()
        for holder in await self._holders(scope, id):
            await desk.pin(holder, body.state, body.for_s)
        return await self.show(scope, id)

    async def unpin(self, scope: Scope, id: Subject) -> Risk:
        """Let go of it; its evidence decides again."""
        desk = self._watching()
        for holder in await self._holders(scope, id):
            await desk.pin(holder, None, None)
        return await self.show(scope, id)

    async def alerts(self, limit: Limit = 100) -> AlertList:
        """The last changes of state, the newest first."""
        desk = self._desk()
        found = [] if desk is None else await desk.alerts(limit)
        return AlertList(data=SHOWN.validate_python(msgspec.to_builtins(found)))

    async def _report(self, scope: Scope, id: str) -> Report:
        desk = self._desk()
        if scope == "cluster":
            found = await desk.cluster(id) if desk is not None else None
            if found is None:
                raise Refused(Denial("not_found"))
            return found
        holders = await self._holders(scope, id)
        reports = [report for holder in holders if desk and (report := await desk.report(holder.key)) is not None]
        if scope == "key" and reports:
            return reports[0]
        return together(scope, id, reports, self._threshold(holders))

    async def _holders(self, scope: Scope, id: str) -> list[Holder]:
        """The keys that a scope is made of; raises Refused where a key or a cluster is unknown."""
        if scope == "key":
            record = await self._keyring().record(id)
            if record is None:
                raise Refused(Denial("not_found"))
            return [_holder(record)]
        if scope == "cluster":
            report = await self._report(scope, id)
            records = [await self._keyring().record(key) for key in report.members]
            return [_holder(record) for record in records if record is not None]
        return [_holder(record) for record in await self._keyring().records() if getattr(record, scope) == id]

    def _watching(self) -> Desk:
        desk = self._desk()
        if desk is None:
            raise Refused(Denial("invalid_value", "No policy has prompts watched."))
        return desk

    def _threshold(self, holders: Iterable[Holder]) -> float:
        policies = self._settings().policies
        asked = [policies[holder.policy].prompts for holder in holders if holder.policy in policies]
        return min((threshold(prompts) for prompts in asked if prompts is not None), default=threshold(Prompts()))


SHOWN = TypeAdapter(list[ShownAlert])


def risk_router(
    desk: Callable[[], Desk | None], settings: Callable[[], Settings], keyring: Callable[[], Keyring]
) -> APIRouter:
    """The routes under `/admin/v1/risk` and `/admin/v1/alerts`. They raise `Refused` and `StoreUnavailable`."""
    api = RiskApi(desk, settings, keyring)
    router = APIRouter()
    routes: Iterable[tuple[str, str, str, Callable[..., Any]]] = (
        ("GET", PATH, "show_risk", api.show),
        ("POST", PATH + "/pardon", "pardon_risk", api.pardon),
        ("POST", PATH + "/pin", "pin_risk", api.pin),
        ("DELETE", PATH + "/pin", "unpin_risk", api.unpin),
        ("GET", ALERTS, "list_alerts", api.alerts),
    )
    for method, path, name, endpoint in routes:
        router.add_api_route(path, endpoint, methods=[method], tags=["risk"], operation_id=name)
    return router


def _holder(record: KeyRecord) -> Holder:
    return Holder(record.id, record.user, record.tenant, record.policy)
