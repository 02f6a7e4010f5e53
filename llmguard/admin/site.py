"""The FastAPI side: health, metrics, docs, admin; and one shape of error for all of it."""

import hmac
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Annotated, Literal, Protocol

from fastapi import Depends, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from fastapi_offline import FastAPIOffline
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from llmguard.admin.keys import keys_router
from llmguard.admin.openapi import describe
from llmguard.admin.risk import risk_router
from llmguard.admin.samples import samples_router
from llmguard.admin.spend import spend_router
from llmguard.admin.watermark import watermark_router
from llmguard.audit_log import AuditLog
from llmguard.clock import Clock
from llmguard.errors import Denial, GuardError, Refused
from llmguard.keyring import Keyring
from llmguard.metrics import Metrics
from llmguard.recollection import Recollection
from llmguard.risk.desk import Desk
from llmguard.samples import Samples
from llmguard.settings import Settings
from llmguard.store.ledger import Ledger
from llmguard.store.store import Store, StoreUnavailable
from llmguard.tenant_keys import TenantKeys
from llmguard.wire.errors import error_body, error_headers
from llmguard.wire.routes import served


class Health(BaseModel):
    """How the guard is."""

    status: Literal["live", "ready", "not ready"]


class Service(Protocol):
    """What the site needs to know of the running guard."""

    @property
    def settings(self) -> Settings: ...

    @property
    def store(self) -> Store: ...

    @property
    def ledger(self) -> Ledger: ...

    @property
    def clock(self) -> Clock: ...

    @property
    def metrics(self) -> Metrics: ...

    @property
    def keyring(self) -> Keyring: ...

    @property
    def samples(self) -> Samples | None: ...

    @property
    def audit(self) -> AuditLog: ...

    @property
    def desk(self) -> Desk | None: ...

    @property
    def key_pepper(self) -> bytes: ...

    @property
    def tenant_keys(self) -> TenantKeys: ...

    @property
    def recollection(self) -> Recollection: ...

    async def ready(self) -> bool: ...


def admin_site(service: Service) -> FastAPI:
    """The application for every route that is not hot."""
    # Its pages are served from the package: a guard's page must not load a stranger's script.
    site = FastAPIOffline(docs_url="/docs", redoc_url=None, title="llmguard", version="1", redirect_slashes=False)
    site.openapi = partial(describe, site)  # type: ignore[method-assign]  # FastAPI's way to extend it
    _health(site, service)
    site.include_router(
        keys_router(
            service.store,
            service.key_pepper,
            service.clock,
            policies=lambda: service.settings.policies.keys(),
            forget=lambda key: service.keyring.forget(key),
        ),
        dependencies=[Depends(_operator(service))],
    )
    site.include_router(
        spend_router(service.ledger, lambda: service.settings, lambda: service.keyring),
        dependencies=[Depends(_operator(service))],
    )
    site.include_router(
        samples_router(lambda: service.samples, service.audit, service.clock),
        dependencies=[Depends(_operator(service))],
    )
    site.include_router(
        risk_router(lambda: service.desk, lambda: service.settings, lambda: service.keyring),
        dependencies=[Depends(_operator(service))],
    )
    site.include_router(
        watermark_router(service.store, service.tenant_keys, service.recollection, lambda: service.settings),
        dependencies=[Depends(_operator(service))],
    )
    for kind, answer in _ERRORS.items():
        site.add_exception_handler(kind, answer)
    return site


def _health(site: FastAPI, service: Service) -> None:
    @site.get("/health/live", tags=["health"], summary="Whether the process runs", operation_id="live")
    async def live() -> Health:
        return Health(status="live")

    @site.get(
        "/health/ready",
        tags=["health"],
        summary="Whether a request would be served now",
        operation_id="ready",
        responses={503: {"model": Health, "description": "It would not"}},
    )
    async def ready(response: Response) -> Health:
        if await service.ready():
            return Health(status="ready")
        response.status_code = 503
        return Health(status="not ready")

    @site.get(
        "/metrics",
        tags=["health"],
        summary="Prometheus metrics",
        operation_id="metrics",
        response_class=Response,
        responses={200: {"content": {CONTENT_TYPE_LATEST: {"schema": {"type": "string"}}}}},
    )
    async def metrics() -> Response:
        return Response(service.metrics.exposition(), media_type=CONTENT_TYPE_LATEST)


def _operator(service: Service) -> Callable[[HTTPAuthorizationCredentials | None], Awaitable[None]]:
    bearer = HTTPBearer(scheme_name="operator", auto_error=False)

    async def operator(given: Annotated[HTTPAuthorizationCredentials | None, Depends(bearer)]) -> None:
        token = service.settings.admin.token
        presented = given.credentials.encode() if given is not None else b""
        expected = token.get_secret_value().encode() if token is not None else b""
        if not hmac.compare_digest(presented, expected) or not expected:
            raise Refused(Denial("invalid_api_key"))

    return operator


def _shaped(denial: Denial) -> Response:
    response = Response(error_body(denial), denial.row.status, media_type="application/json")
    for name, value in error_headers(denial):
        response.headers[name.decode()] = value.decode()
    return response


async def _guard_error(request: Request, error: Exception) -> Response:
    return _shaped(error.denial if isinstance(error, GuardError) else Denial("internal_error"))


async def _store_unavailable(request: Request, error: Exception) -> Response:
    return _shaped(Denial("store_unavailable", retry_after_s=1.0))


async def _invalid(request: Request, error: Exception) -> Response:
    mistake = error.errors()[0] if isinstance(error, RequestValidationError) else {}
    kind, said = mistake.get("type"), str(mistake.get("msg", ""))
    if kind == "json_invalid":  # its place is an offset, and no parameter
        return _shaped(Denial("invalid_value", "The request body is not valid JSON."))
    where = ".".join(str(part) for part in mistake.get("loc", ())[1:])
    if kind == "extra_forbidden":
        return _shaped(Denial("unknown_parameter", f"'{where}' is not a known parameter.", param=where))
    subject = f"'{where}'" if where else "The request body"
    what = "is missing" if kind == "missing" else f"is not valid: {said[:1].lower()}{said[1:]}"
    return _shaped(Denial("invalid_value", f"{subject} {what}.", param=where or None))


async def _http(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    headers = error.headers if isinstance(error, HTTPException) else None
    if status == 404 and (methods := served(request.url.path)):
        status, headers = 405, {"allow": ", ".join(methods)}
    response = _shaped(Denial(_CODES.get(status, "invalid_value" if status < 500 else "internal_error")))
    response.headers.update(headers or {})
    return response


_CODES = {
    404: "unknown_url",
    405: "method_not_allowed",
    408: "request_timeout",
    413: "request_too_large",
    415: "unsupported_media_type",
}

_ERRORS: dict[type[Exception], Callable[[Request, Exception], Awaitable[Response]]] = {
    GuardError: _guard_error,
    StoreUnavailable: _store_unavailable,
    RequestValidationError: _invalid,
    HTTPException: _http,
    Exception: _guard_error,
}
