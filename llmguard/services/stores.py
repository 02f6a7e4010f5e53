"""`/v1/vector_stores`."""

from collections.abc import Callable, Collection, Mapping

from msgspec.json import encode

from llmguard.errors import Denial, Refused
from llmguard.exchange import Exchange
from llmguard.service import Served, Service
from llmguard.services import shown
from llmguard.services.asked import asked, places
from llmguard.services.ingestion import Ingestion
from llmguard.services.library import Library
from llmguard.wire.endpoint import Endpoint
from llmguard.wire.paging import PageQuery, ends
from llmguard.wire.similarity_endpoints import STORE_CREATE, STORE_DELETE, STORE_GET, STORE_LIST, STORE_UPDATE
from llmguard.wire.vector_stores import StoreCreate, StoreUpdate, VectorStoreDeleted, VectorStoreList
from similarity.library.records import Addition, Invalid, NotFound, Store
from similarity.library.stores import SHARE

EVERYONE = "*"


class StoreService:
    """Stores of the tenant that asks; `policies()` are the names that a store may be shared with."""

    def __init__(self, library: Library, ingestion: Ingestion, policies: Callable[[], Collection[str]]) -> None:
        self._library = library
        self._ingestion = ingestion
        self._policies = policies

    @property
    def services(self) -> Mapping[Endpoint, Service]:
        """What it answers."""
        return {
            STORE_CREATE: self._create,
            STORE_LIST: self._list,
            STORE_GET: self._get,
            STORE_UPDATE: self._update,
            STORE_DELETE: self._delete,
        }

    async def _create(self, exchange: Exchange) -> Served:
        body = asked(exchange, StoreCreate)
        share = (body.metadata or {}).get(SHARE, EVERYONE)
        if share != EVERYONE and share not in self._policies():
            raise Refused(Denial("invalid_value", f"'{SHARE}' is * or a policy's name.", param="metadata"))
        found = await self._library.do(self._made, exchange.principal.tenant, body)
        self._ingestion.poke()
        return Served(encode(shown.store(found)))

    def _made(self, tenant: str, body: StoreCreate) -> Store:
        """A store with its files, or none at all."""
        stores = self._library.stores
        days = None if body.expires_after is None else body.expires_after.days
        made = stores.create(tenant, body.name or "", body.metadata, days, body.description or "")
        if not body.file_ids:
            return made
        cut = shown.pieces(body.chunking_strategy)
        try:
            self._library.file_batches.create(tenant, made.id, [Addition(file, {}, cut) for file in body.file_ids])
        except (NotFound, Invalid):
            stores.delete(tenant, made.id)
            raise
        return stores.get(tenant, made.id)

    async def _list(self, exchange: Exchange) -> Served:
        cut = shown.cut(asked(exchange, PageQuery))
        found = await self._library.do(self._library.stores.page, exchange.principal.tenant, cut)
        first, last = ends([one.id for one in found.items])
        data = [shown.store(one) for one in found.items]
        return Served(encode(VectorStoreList(data=data, first_id=first, last_id=last, has_more=found.more)))

    async def _get(self, exchange: Exchange) -> Served:
        (id,) = places(exchange)
        found = await self._library.do(self._library.stores.get, exchange.principal.tenant, id)
        return Served(encode(shown.store(found)))

    async def _update(self, exchange: Exchange) -> Served:
        (id,) = places(exchange)
        body = asked(exchange, StoreUpdate)
        found = await self._library.do(
            self._library.stores.update,
            exchange.principal.tenant,
            id,
            name=body.name,
            metadata=body.metadata,
            expires_days=None if body.expires_after is None else body.expires_after.days,
        )
        return Served(encode(shown.store(found)))

    async def _delete(self, exchange: Exchange) -> Served:
        (id,) = places(exchange)
        await self._library.do(self._removed, exchange.principal.tenant, id)
        return Served(encode(VectorStoreDeleted(id)))

    def _removed(self, tenant: str, id: str) -> None:
        self._library.catalogue.forget(self._library.stores.delete(tenant, id))
