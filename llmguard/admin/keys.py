"""Keys over HTTP, for operators. Whoever mounts this authenticates them."""

from collections.abc import Callable, Collection
from typing import Annotated, Any

from fastapi import APIRouter, Response
from pydantic import BaseModel, ConfigDict, Field

from llmguard import keys
from llmguard.clock import Clock
from llmguard.errors import Denial, Refused
from llmguard.issuer import DEFAULT_OVERLAP_S, Issuer
from llmguard.settings_values import TEN_YEARS_S, Id
from llmguard.store.store import KeyRecord, Store

PATH = "/admin/v1/keys"
Lifetime = Annotated[float, Field(gt=0, le=TEN_YEARS_S, allow_inf_nan=False)]
Overlap = Annotated[float, Field(ge=0, le=TEN_YEARS_S, allow_inf_nan=False)]


class Body(BaseModel):
    """The base of the requests: unknown fields are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class IssueKey(Body):
    """For whom a key is to be made. Without `expires_in_s` it lasts until it is revoked."""

    user: Id
    tenant: Id
    policy: str
    expires_in_s: Lifetime | None = None


class RotateKey(Body):
    """How long the old secrets of a key remain valid."""

    overlap_s: Overlap = DEFAULT_OVERLAP_S


class ShownKey(BaseModel):
    """A key as it may be listed. Times are epoch seconds."""

    id: str
    user: str
    tenant: str
    policy: str
    created_at: int
    expires_at: int | None
    revoked_at: int | None


class IssuedKey(ShownKey):
    """A key with its secret, which is shown this once."""

    key: str


class KeyList(BaseModel):
    """All keys, the oldest first."""

    object: str = "list"
    data: list[ShownKey]


class RevokedKey(BaseModel):
    """A key that is no longer valid."""

    id: str
    revoked: bool = True


class KeysApi:
    """The four endpoints. `forget` is told of every key whose secrets changed."""

    def __init__(
        self, store: Store, issuer: Issuer, policies: Callable[[], Collection[str]], forget: Callable[[str], None]
    ) -> None:
        self._store = store
        self._issuer = issuer
        self._policies = policies
        self._forget = forget

    async def issue(self, body: IssueKey, response: Response) -> IssuedKey:
        """Make a key."""
        if body.policy not in self._policies():
            raise Refused(Denial("invalid_value", "There is no such policy.", param="policy"))
        record, secret = await self._issuer.issue(body.user, body.tenant, body.policy, body.expires_in_s)
        return _issued(record, secret, response)

    async def list(self) -> KeyList:
        """List the keys, without their secrets."""
        return KeyList(data=[ShownKey.model_validate(keys.public(key)) for key in await self._store.list_keys()])

    async def rotate(self, id: str, response: Response, body: RotateKey | None = None) -> IssuedKey:
        """Give a key a new secret; the old ones remain valid for a while."""
        try:
            rotated = await self._issuer.rotate(id, (body or RotateKey()).overlap_s)
        except keys.KeyEnded as error:
            raise Refused(Denial("invalid_value", "The key is revoked or expired.", param="id")) from error
        if rotated is None:
            raise Refused(Denial("not_found"))
        self._forget(id)
        return _issued(*rotated, response)

    async def revoke(self, id: str) -> RevokedKey:
        """End a key."""
        if await self._issuer.revoke(id) is None:
            raise Refused(Denial("not_found"))
        self._forget(id)
        return RevokedKey(id=id)


def keys_router(
    store: Store,
    pepper: bytes,
    clock: Clock,
    policies: Callable[[], Collection[str]],
    forget: Callable[[str], None],
) -> APIRouter:
    """The routes under `/admin/v1/keys`. They raise `Refused` and `StoreUnavailable`."""
    api = KeysApi(store, Issuer(store, pepper, clock), policies, forget)
    router = APIRouter()
    routes: list[tuple[str, str, Callable[..., Any]]] = [
        ("POST", PATH, api.issue),
        ("GET", PATH, api.list),
        ("POST", PATH + "/{id}/rotate", api.rotate),
        ("DELETE", PATH + "/{id}", api.revoke),
    ]
    for method, path, endpoint in routes:
        router.add_api_route(path, endpoint, methods=[method], tags=["keys"], operation_id=f"{endpoint.__name__}_key")
    return router


def _issued(record: KeyRecord, secret: str, response: Response) -> IssuedKey:
    response.headers["cache-control"] = "no-store"
    return IssuedKey.model_validate({**keys.public(record), "key": secret})
