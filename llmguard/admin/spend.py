"""What has been spent, over HTTP, for operators. Whoever mounts this authenticates them."""

from collections.abc import Callable, Iterable
from typing import Annotated, Any, Literal, TypeAlias

from fastapi import APIRouter, Path
from pydantic import BaseModel, ConfigDict, Field

from llmguard.errors import Denial, Refused
from llmguard.keyring import Keyring
from llmguard.quota.headers import reset_s
from llmguard.quota.rule import Measure, Rule
from llmguard.quota.rules import Rules
from llmguard.settings import Settings
from llmguard.store.ledger import Counter, Ledger, Level

PATH = "/admin/v1/spend/{scope}/{id}"
Scope: TypeAlias = Literal["key", "user", "tenant", "ip", "global"]
Subject = Annotated[str, Path(max_length=512, description="Whose; for `global` it is not looked at.")]


class Body(BaseModel):
    """The base of the requests: unknown fields are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Grant(Body):
    """So much more of a measure: in the window of `every_s`, or in all of its windows."""

    of: Measure
    amount: int = Field(ge=1, le=1 << 53)
    every_s: float | None = Field(default=None, gt=0, allow_inf_nan=False)


class ShownLimit(BaseModel):
    """A limit as it stands. `reset_s` is when all of it is back, null for a budget that never is."""

    per: str
    of: str
    limit: int
    every_s: float | None
    spent: int
    reserved: int
    remaining: int
    reset_s: float | None


class Spend(BaseModel):
    """Every limit that counts for a subject."""

    scope: str
    id: str
    limits: list[ShownLimit]


class SpendApi:
    """The three endpoints."""

    def __init__(self, ledger: Ledger, settings: Callable[[], Settings], keyring: Callable[[], Keyring]) -> None:
        self._ledger = ledger
        self._settings = settings
        self._keyring = keyring

    async def show(self, scope: Scope, id: Subject) -> Spend:
        """What has been spent and is reserved, and what remains."""
        rules, counters = await self._counters(scope, id)
        levels = await self._ledger.levels(counters)
        return Spend(scope=scope, id=id, limits=[_shown(*pair) for pair in zip(rules, levels, strict=True)])

    async def reset(self, scope: Scope, id: Subject) -> Spend:
        """Forget what has been spent and granted."""
        _, counters = await self._counters(scope, id)
        await self._ledger.reset(counters)
        return await self.show(scope, id)

    async def grant(self, scope: Scope, id: Subject, body: Grant) -> Spend:
        """Allow more, once."""
        rules, counters = await self._counters(scope, id)
        granted = [
            counter
            for rule, counter in zip(rules, counters, strict=True)
            if rule.of == body.of and body.every_s in (None, rule.every_s)
        ]
        if not granted:
            raise Refused(Denial("invalid_value", "No limit counts this.", param="of"))
        for counter in granted:
            await self._ledger.grant(counter, body.amount)
        return await self.show(scope, id)

    async def _counters(self, scope: Scope, id: str) -> tuple[list[Rule], list[Counter]]:
        policy = None
        if scope == "key":
            record = await self._keyring().record(id)
            if record is None:
                raise Refused(Denial("not_found"))
            policy = record.policy
        rules = list(Rules(self._settings()).per(scope, policy))
        return rules, [rule.counter("" if scope == "global" else id) for rule in rules]


def spend_router(ledger: Ledger, settings: Callable[[], Settings], keyring: Callable[[], Keyring]) -> APIRouter:
    """The routes under `/admin/v1/spend`. They raise `Refused` and `StoreUnavailable`."""
    api = SpendApi(ledger, settings, keyring)
    router = APIRouter()
    routes: Iterable[tuple[str, str, Callable[..., Any]]] = (
        ("GET", PATH, api.show),
        ("POST", PATH + "/reset", api.reset),
        ("POST", PATH + "/grant", api.grant),
    )
    for method, path, endpoint in routes:
        router.add_api_route(
            path, endpoint, methods=[method], tags=["spend"], operation_id=f"{endpoint.__name__}_spend"
        )
    return router


def _shown(rule: Rule, level: Level) -> ShownLimit:
    return ShownLimit(
        per=rule.per,
        of=rule.of,
        limit=rule.limit,
        every_s=rule.every_s,
        spent=level.spent,
        reserved=level.reserved,
        remaining=max(0, rule.limit - level.spent - level.reserved),
        reset_s=reset_s(rule, level),
    )
