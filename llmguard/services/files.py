"""`/v1/files`."""

from collections.abc import Mapping
from pathlib import PurePath

from msgspec.json import encode

from llmguard.errors import Denial, Refused
from llmguard.exchange import Exchange, Principal
from llmguard.service import Served, Service
from llmguard.services import shown
from llmguard.services.asked import HIDDEN, asked, places
from llmguard.services.library import Library
from llmguard.wire.endpoint import Endpoint
from llmguard.wire.files import FileDeleted, FileList, FilesQuery, FileUpload
from llmguard.wire.paging import ends
from llmguard.wire.similarity_endpoints import FILE_CONTENT, FILE_CREATE, FILE_DELETE, FILE_GET, FILE_LIST
from similarity.extraction.extract import UNSUPPORTED
from similarity.extraction.formats import SUFFIXES
from similarity.setting import Content


class FileService:
    """Files of the tenant that asks."""

    def __init__(self, library: Library) -> None:
        self._library = library

    @property
    def services(self) -> Mapping[Endpoint, Service]:
        """What it answers."""
        return {
            FILE_CREATE: self._create,
            FILE_LIST: self._list,
            FILE_GET: self._get,
            FILE_DELETE: self._delete,
            FILE_CONTENT: self._content,
        }

    async def _create(self, exchange: Exchange) -> Served:
        form = asked(exchange, FileUpload)
        name = form.file.filename
        if PurePath(name).suffix.lower() not in SUFFIXES:
            raise Refused(Denial("invalid_value", f"'file' is not valid: {UNSUPPORTED}.", param="file"))
        files, tenant = self._library.files, exchange.principal.tenant
        found = await self._library.do(files.create, tenant, name, form.file.content, form.purpose, form.seconds)
        return Served(encode(shown.file(found)))

    async def _list(self, exchange: Exchange) -> Served:
        query = asked(exchange, FilesQuery)
        files, tenant = self._library.files, exchange.principal.tenant
        found = await self._library.do(files.page, tenant, shown.cut(query), query.purpose)
        first, last = ends([one.id for one in found.items])
        data = [shown.file(one) for one in found.items]
        return Served(encode(FileList(data=data, first_id=first, last_id=last, has_more=found.more)))

    async def _get(self, exchange: Exchange) -> Served:
        (id,) = places(exchange)
        found = await self._library.do(self._library.files.get, exchange.principal.tenant, id)
        return Served(encode(shown.file(found)))

    async def _delete(self, exchange: Exchange) -> Served:
        (id,) = places(exchange)
        await self._library.do(self._removed, exchange.principal.tenant, id)
        return Served(encode(FileDeleted(id)))

    def _removed(self, tenant: str, id: str) -> None:
        library = self._library
        for store, number in library.files.in_use(tenant, id):
            library.catalogue.remove(number, library.entries.detach(tenant, store, id))
        library.files.delete(tenant, id)

    async def _content(self, exchange: Exchange) -> Served:
        """The bytes, unless a store hides them: whoever holds a key of the owner's may not read what it hides."""
        (id,) = places(exchange)
        content = await self._library.do(self._readable, exchange.principal, id)
        return Served(content, media=b"application/octet-stream")

    def _readable(self, who: Principal, id: str) -> bytes:
        library = self._library
        for store, _ in library.files.in_use(who.tenant, id):
            if library.stores.open(who.tenant, store, who.policy).content is Content.HIDDEN:
                raise Refused(HIDDEN)
        return library.files.content(who.tenant, id)
