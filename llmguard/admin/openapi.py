"""The OpenAPI document: FastAPI's own routes, and the hot ones beside them."""

import re
from collections.abc import Iterable
from typing import Any

import msgspec
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from llmguard.admin import openapi_similarity as similarity
from llmguard.errors import TABLE
from llmguard.wire.chat_answer import ChatCompletion
from llmguard.wire.completions import Completion
from llmguard.wire.embeddings_endpoint import EMBEDDINGS, ToldEmbeddings
from llmguard.wire.endpoint import Endpoint
from llmguard.wire.models import MODEL, ModelList, ModelObject
from llmguard.wire.pooling import Classifications
from llmguard.wire.responses import FunctionTool, NamedChoice
from llmguard.wire.responses_answer import Response
from llmguard.wire.responses_items import (
    AssistantItem,
    DeveloperItem,
    FunctionCallItem,
    FunctionOutputItem,
    SystemItem,
    UserItem,
)
from llmguard.wire.routes import ENDPOINTS

ANSWERS: dict[tuple[str, str], type[msgspec.Struct]] = {
    ("POST", "/v1/chat/completions"): ChatCompletion,
    ("POST", "/v1/completions"): Completion,
    ("POST", "/v1/responses"): Response,
    ("POST", "/v1/classify"): Classifications,
    ("POST", "/v1/embeddings"): ToldEmbeddings,
    ("GET", "/v1/models"): ModelList,
    ("GET", "/v1/models/{model}"): ModelObject,
}
ITEMS = (UserItem, SystemItem, DeveloperItem, AssistantItem, FunctionCallItem, FunctionOutputItem)
REFERENCE = "#/components/schemas/{name}"

ALWAYS = {"invalid_value", "headers_too_large", "internal_error"}
"""What any request may be answered with: it may not even be HTTP."""
GUARDED = ALWAYS | {"invalid_api_key", "overloaded", "store_unavailable"}
ELSEWHERE = {
    "client_closed_request",
    "content_hidden",
    "embeddings_not_exported",
    "method_not_allowed",
    "not_found",
    "unknown_url",
}
"""What no endpoint that reaches a model answers: nobody is left to read it, or it belongs to another URL."""
SAMPLED = {"deterministic_decoding", "parameter_not_allowed"}
"""What a model that writes no text has nothing to be refused for."""
ADMIN = ALWAYS | {"invalid_api_key", "store_unavailable"}
SAMPLES = "/admin/v1/samples"
"""Not found where none are kept."""
ADMIN_BODY = {"unknown_parameter", "request_timeout", "request_too_large"}


def describe(site: FastAPI) -> dict[str, Any]:
    """The document, made once."""
    if site.openapi_schema is None:
        document = get_openapi(title=site.title, version=site.version, routes=site.routes)
        requests = [endpoint.request for endpoint in ENDPOINTS if endpoint.request]
        types: list[Any] = [
            *requests,
            *ANSWERS.values(),
            *ITEMS,
            FunctionTool,
            NamedChoice,
            *similarity.ANSWERS.values(),
        ]
        schemas, components = msgspec.json.schema_components(types, ref_template=REFERENCE)
        by_type: dict[Any, Any] = dict(zip(types, schemas, strict=True))
        _narrow(components["ResponsesRequest"])
        similarity.narrow(components)
        parts = document["components"]
        for unused in ("HTTPValidationError", "ValidationError"):
            parts["schemas"].pop(unused, None)
        parts["schemas"].update({**components, "Error": _ERROR})
        parts["securitySchemes"].update(_SECURITY)
        for path, operations in document["paths"].items():
            for operation in operations.values():
                _complete(path, operation)
        for endpoint in ENDPOINTS:
            made = _served if endpoint in similarity.ANSWERS else _operation
            document["paths"].setdefault(endpoint.path, {})[endpoint.method.lower()] = made(endpoint, by_type)
        site.openapi_schema = document
    return site.openapi_schema


def _narrow(request: dict[str, Any]) -> None:
    """Say what the fields are that `/v1/responses` takes as anything and reads by hand."""

    def one_of(kinds: Iterable[type[msgspec.Struct]]) -> list[dict[str, Any]]:
        return [{"$ref": REFERENCE.format(name=kind.__name__)} for kind in kinds]

    fields = request["properties"]
    for name, kinds in (("input", ITEMS), ("tools", (FunctionTool,))):
        (array,) = (kind for kind in fields[name]["anyOf"] if kind["type"] == "array")
        array["items"] = {"anyOf": one_of(kinds)}
    fields["input"] = {"anyOf": [kind for kind in fields["input"]["anyOf"] if kind["type"] != "null"]}
    fields["tool_choice"] = {"anyOf": [{"enum": ["none", "auto", "required", None]}, *one_of([NamedChoice])]}
    fields["include"] = {"type": ["array", "null"], "maxItems": 0}
    request["required"].append("input")


def _complete(path: str, operation: dict[str, Any]) -> None:
    """Put the errors of the guard in the place of FastAPI's own."""
    responses = operation["responses"]
    responses.pop("422", None)
    codes = ADMIN if "security" in operation else ALWAYS
    if "requestBody" in operation:
        codes = codes | ADMIN_BODY
    if "{id}" in path or path == SAMPLES:
        codes = codes | {"not_found"}
    operation["responses"] = {**_errors(codes), **responses}


def _served(endpoint: Endpoint, schemas: dict[Any, Any]) -> dict[str, Any]:
    """The operation of an endpoint that a service answers."""
    operation: dict[str, Any] = {
        "tags": ["similarity"],
        "summary": endpoint.summary,
        "operationId": re.sub(r"\W+", "_", f"{endpoint.method.lower()}{endpoint.path}").strip("_"),
        "security": [{name: []} for name in _SECURITY],
        "parameters": similarity.parameters(endpoint),
        "responses": {
            **_errors(GUARDED | similarity.codes(endpoint)),
            "200": {"description": "The answer", "content": similarity.content(endpoint, schemas)},
        },
    }
    if endpoint.request is not None:
        media = "multipart/form-data" if endpoint.form else "application/json"
        operation["requestBody"] = {"required": True, "content": {media: {"schema": schemas[endpoint.request]}}}
    return operation


def _operation(endpoint: Endpoint, schemas: dict[Any, Any]) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "tags": ["models"],
        "summary": endpoint.summary,
        "operationId": re.sub(r"\W+", "_", endpoint.path).strip("_"),
        "security": [{name: []} for name in _SECURITY],
        "responses": _errors(_codes(endpoint)),
    }
    if endpoint.request is not None:
        body = {"application/json": {"schema": schemas[endpoint.request]}}
        operation["requestBody"] = {"required": True, "content": body}
    answer = ANSWERS.get((endpoint.method, endpoint.path))
    if answer is not None:
        content: dict[str, Any] = {"application/json": {"schema": schemas[answer]}}
        if endpoint.renderer is not None:
            content["text/event-stream"] = {"schema": {"type": "string"}}
        operation["responses"]["200"] = {"description": "The answer", "content": content}
    if "{model}" in endpoint.path:
        schema = {"type": "string", "minLength": 1}
        operation["parameters"] = [{"name": "model", "in": "path", "required": True, "schema": schema}]
    return operation


def _codes(endpoint: Endpoint) -> set[str]:
    if endpoint is EMBEDDINGS:
        return set(TABLE) - ELSEWHERE - SAMPLED - {"endpoint_not_allowed"} | {"embeddings_not_exported"}
    if endpoint.request is not None:
        return set(TABLE) - ELSEWHERE - (set() if endpoint.pooled is None else SAMPLED)
    return GUARDED | {"endpoint_not_allowed"} | ({"model_not_found"} if endpoint is MODEL else set())


def _errors(codes: Iterable[str]) -> dict[str, Any]:
    content = {"application/json": {"schema": {"$ref": REFERENCE.format(name="Error")}}}
    by_status: dict[int, list[str]] = {}
    for code in sorted(codes):
        by_status.setdefault(TABLE[code].status, []).append(code)
    return {
        str(status): {"description": ", ".join(names), "content": content}
        for status, names in sorted(by_status.items())
    }


_SECURITY = {
    "key": {"type": "http", "scheme": "bearer"},
    "api-key": {"type": "apiKey", "in": "header", "name": "api-key"},
}

_ERROR = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["message", "type", "param", "code"],
            "properties": {
                "message": {"type": "string"},
                "type": {"type": "string"},
                "param": {"type": ["string", "null"]},
                "code": {"type": "string", "enum": sorted(TABLE)},
            },
        }
    },
}
