"""`/v1/vector_stores/{id}/files` and `/file_batches`."""

from collections.abc import Mapping

from msgspec.json import encode

from llmguard.errors import Refused
from llmguard.exchange import Exchange, Principal
from llmguard.service import Served, Service
from llmguard.services import shown
from llmguard.services.asked import HIDDEN, asked, places
from llmguard.services.ingestion import Ingestion
from llmguard.services.library import Library
from llmguard.wire.endpoint import Endpoint
from llmguard.wire.paging import ends
from llmguard.wire.similarity_endpoints import (
    BATCH_CANCEL,
    BATCH_CREATE,
    BATCH_FILES,
    BATCH_GET,
    STORE_FILE_CONTENT,
    STORE_FILE_CREATE,
    STORE_FILE_DELETE,
    STORE_FILE_GET,
    STORE_FILE_LIST,
    STORE_FILE_UPDATE,
)
from llmguard.wire.store_files import (
    BatchCreate,
    FileAttach,
    FileUpdate,
    StoreFileContent,
    StoreFileDeleted,
    StoreFileList,
    StoreFilesQuery,
    Text,
)
from similarity.library.records import Addition, Entry, FileBatch, Page
from similarity.setting import Content


class StoreFileService:
    """Files in the stores of the tenant that asks."""

    def __init__(self, library: Library, ingestion: Ingestion) -> None:
        self._library = library
        self._ingestion = ingestion

    @property
    def services(self) -> Mapping[Endpoint, Service]:
        """What it answers."""
        return {
            STORE_FILE_CREATE: self._create,
            STORE_FILE_LIST: self._list,
            STORE_FILE_GET: self._get,
            STORE_FILE_UPDATE: self._update,
            STORE_FILE_DELETE: self._delete,
            STORE_FILE_CONTENT: self._content,
            BATCH_CREATE: self._create_batch,
            BATCH_GET: self._get_batch,
            BATCH_CANCEL: self._cancel_batch,
            BATCH_FILES: self._list_batch,
        }

    async def _create(self, exchange: Exchange) -> Served:
        (store,) = places(exchange)
        tenant = exchange.principal.tenant
        await self._library.do(self._put, tenant, store, [_addition(asked(exchange, FileAttach))])
        self._ingestion.poke()
        file = asked(exchange, FileAttach).file_id
        return Served(encode(shown.entry(await self._library.do(self._library.entries.get, tenant, store, file))))

    def _put(self, tenant: str, store: str, additions: list[Addition]) -> FileBatch:
        """Put files in; those that were there already begin anew, and are not found until they are done."""
        library = self._library
        gone = [library.entries.held(tenant, store, new.file) for new in additions]
        batch = library.file_batches.create(tenant, store, additions)
        for ids in gone:
            if len(ids):
                library.catalogue.remove(library.stores.open(tenant, store, "").number, ids)
        return batch

    async def _list(self, exchange: Exchange) -> Served:
        (store,) = places(exchange)
        query = asked(exchange, StoreFilesQuery)
        entries, tenant = self._library.entries, exchange.principal.tenant
        found = await self._library.do(entries.page, tenant, store, shown.cut(query), shown.status(query))
        return _page(found)

    async def _get(self, exchange: Exchange) -> Served:
        store, file = places(exchange)
        found = await self._library.do(self._library.entries.get, exchange.principal.tenant, store, file)
        return Served(encode(shown.entry(found)))

    async def _update(self, exchange: Exchange) -> Served:
        store, file = places(exchange)
        attributes = asked(exchange, FileUpdate).attributes or {}
        found = await self._library.do(
            self._library.entries.describe, exchange.principal.tenant, store, file, attributes
        )
        return Served(encode(shown.entry(found)))

    async def _delete(self, exchange: Exchange) -> Served:
        store, file = places(exchange)
        await self._library.do(self._removed, exchange.principal.tenant, store, file)
        return Served(encode(StoreFileDeleted(file)))

    def _removed(self, tenant: str, store: str, file: str) -> None:
        library = self._library
        number = library.stores.open(tenant, store, "").number
        library.catalogue.remove(number, library.entries.detach(tenant, store, file))

    async def _content(self, exchange: Exchange) -> Served:
        store, file = places(exchange)
        texts = await self._library.do(self._texts, exchange.principal, store, file)
        return Served(encode(StoreFileContent(data=[Text(text) for text in texts])))

    def _texts(self, who: Principal, store: str, file: str) -> list[str]:
        library = self._library
        texts = library.entries.texts(who.tenant, store, file)
        if library.stores.open(who.tenant, store, who.policy).content is Content.HIDDEN:
            raise Refused(HIDDEN)
        return texts

    async def _create_batch(self, exchange: Exchange) -> Served:
        (store,) = places(exchange)
        body = asked(exchange, BatchCreate)
        additions = [_addition(one) for one in body.files or ()]
        if body.file_ids is not None:
            cut = shown.pieces(body.chunking_strategy)
            additions = [Addition(file, body.attributes or {}, cut) for file in body.file_ids]
        found = await self._library.do(self._put, exchange.principal.tenant, store, additions)
        self._ingestion.poke()
        return Served(encode(shown.batch(found)))

    async def _get_batch(self, exchange: Exchange) -> Served:
        store, id = places(exchange)
        found = await self._library.do(self._library.file_batches.get, exchange.principal.tenant, store, id)
        return Served(encode(shown.batch(found)))

    async def _cancel_batch(self, exchange: Exchange) -> Served:
        store, id = places(exchange)
        found = await self._library.do(self._library.file_batches.cancel, exchange.principal.tenant, store, id)
        return Served(encode(shown.batch(found)))

    async def _list_batch(self, exchange: Exchange) -> Served:
        store, id = places(exchange)
        query = asked(exchange, StoreFilesQuery)
        batches, tenant = self._library.file_batches, exchange.principal.tenant
        found = await self._library.do(batches.page, tenant, store, id, shown.cut(query), shown.status(query))
        return _page(found)


def _addition(given: FileAttach) -> Addition:
    return Addition(given.file_id, given.attributes or {}, shown.pieces(given.chunking_strategy))


def _page(found: Page[Entry]) -> Served:
    first, last = ends([one.file for one in found.items])
    data = [shown.entry(one) for one in found.items]
    return Served(encode(StoreFileList(data=data, first_id=first, last_id=last, has_more=found.more)))
