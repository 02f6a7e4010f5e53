"""What the OpenAPI document says of similarity's endpoints."""

from collections.abc import Mapping
from typing import Any

import msgspec

from llmguard.wire import similarity_endpoints as routes
from llmguard.wire.endpoint import Endpoint
from llmguard.wire.files import FileDeleted, FileList, FileObject
from llmguard.wire.rerank import RankedDocuments, RankedText
from llmguard.wire.store_files import FileBatch, StoreFile, StoreFileContent, StoreFileDeleted, StoreFileList
from llmguard.wire.store_search import SearchResults
from llmguard.wire.vector_stores import VectorStore, VectorStoreDeleted, VectorStoreList

ANSWERS: Mapping[Endpoint, Any] = {
    routes.FILE_CREATE: FileObject,
    routes.FILE_LIST: FileList,
    routes.FILE_GET: FileObject,
    routes.FILE_DELETE: FileDeleted,
    routes.FILE_CONTENT: bytes,
    routes.STORE_CREATE: VectorStore,
    routes.STORE_LIST: VectorStoreList,
    routes.STORE_GET: VectorStore,
    routes.STORE_UPDATE: VectorStore,
    routes.STORE_DELETE: VectorStoreDeleted,
    routes.STORE_SEARCH: SearchResults,
    routes.STORE_FILE_CREATE: StoreFile,
    routes.STORE_FILE_LIST: StoreFileList,
    routes.STORE_FILE_GET: StoreFile,
    routes.STORE_FILE_UPDATE: StoreFile,
    routes.STORE_FILE_DELETE: StoreFileDeleted,
    routes.STORE_FILE_CONTENT: StoreFileContent,
    routes.BATCH_CREATE: FileBatch,
    routes.BATCH_GET: FileBatch,
    routes.BATCH_CANCEL: FileBatch,
    routes.BATCH_FILES: StoreFileList,
    routes.SIMILARITY: list[float],
    routes.RERANK: list[RankedText] | RankedDocuments,
}
BINARY = {"type": "string", "format": "binary"}

ALWAYS = {
    "challenge_required",
    "endpoint_not_allowed",
    "insufficient_quota",
    "model_not_found",
    "rate_limit_exceeded",
    "unknown_parameter",
    "upstream_error",
    "upstream_timeout",
}
STORED = {"content_hidden", "not_found", "unknown_url"}
BODY = {"request_timeout", "request_too_large", "unsupported_media_type"}


def codes(endpoint: Endpoint) -> set[str]:
    """What it may be refused with, besides what any endpoint may."""
    stored = STORED if endpoint.name == routes.NAME else set()
    return ALWAYS | stored | (BODY if endpoint.request is not None else set())


def parameters(endpoint: Endpoint) -> list[dict[str, Any]]:
    """Those of its path and of its query."""
    schema = {"type": "string", "minLength": 1}
    names = [step[1:-1] for step in endpoint.path.split("/") if step.startswith("{")]
    found: list[dict[str, Any]] = [{"name": name, "in": "path", "required": True, "schema": schema} for name in names]
    if endpoint.query is not None:
        (_,), components = msgspec.json.schema_components([endpoint.query], ref_template="{name}")
        (described,) = components.values()
        found += [{"name": name, "in": "query", "schema": _some(one)} for name, one in described["properties"].items()]
    return found


def content(endpoint: Endpoint, schemas: Mapping[Any, Any]) -> dict[str, Any]:
    """What it answers with."""
    answer = ANSWERS[endpoint]
    if answer is bytes:
        return {"application/octet-stream": {"schema": BINARY}}
    return {"application/json": {"schema": schemas[answer]}}


def narrow(components: dict[str, Any]) -> None:
    """A file in a form is its bytes, whatever its part says besides."""
    del components["UploadedFile"]
    components["FileUpload"]["properties"]["file"] = BINARY


def _some(schema: dict[str, Any]) -> dict[str, Any]:
    """A parameter that is given: null has no spelling in a URL."""
    kinds = [kind for kind in schema.get("anyOf", ()) if kind.get("type") != "null"]
    if "enum" in schema:
        return {"enum": [value for value in schema["enum"] if value is not None]}
    return kinds[0] if len(kinds) == 1 else {name: value for name, value in schema.items() if name != "default"}
