"""Every error that a client can see: one table from code to status, type and message.

GuardError             an answer to give instead of the one asked for
├── Refused            a control or the wire refuses the request
└── UpstreamFailure    the model behind the guard failed; may be retried before the first byte
BodyTooLarge, ClientGone: what reading a request can end in, besides a body
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Row:
    """What a code means on the wire. `retry` False tells an SDK that a retry cannot help."""

    status: int
    type: str
    message: str
    retry: bool = False


TABLE: dict[str, Row] = {
    "deterministic_decoding": Row(400, "invalid_request_error", "This endpoint does not decode deterministically."),
    "parameter_not_allowed": Row(400, "invalid_request_error", "This parameter is not allowed here."),
    "unknown_parameter": Row(400, "invalid_request_error", "This parameter is not known."),
    "invalid_value": Row(400, "invalid_request_error", "The request is not valid."),
    "invalid_api_key": Row(401, "authentication_error", "No API key, or not a valid one, was given."),
    "endpoint_not_allowed": Row(403, "permission_error", "This key may not use this endpoint."),
    "embeddings_not_exported": Row(
        403,
        "permission_error",
        "Embeddings are not given out here. Compare texts with /v1/similarity, or search in them with "
        "/v1/vector_stores/{id}/search.",
    ),
    "content_hidden": Row(403, "permission_error", "The texts of this vector store are hidden."),
    "model_not_found": Row(404, "invalid_request_error", "The model does not exist or you may not use it."),
    "unknown_url": Row(404, "invalid_request_error", "Unknown request URL."),
    "not_found": Row(404, "invalid_request_error", "There is no such object."),
    "method_not_allowed": Row(405, "invalid_request_error", "This method is not allowed at this URL."),
    "request_timeout": Row(408, "invalid_request_error", "The request body did not arrive in time.", retry=True),
    "request_too_large": Row(413, "invalid_request_error", "The request body is too large."),
    "unsupported_media_type": Row(415, "invalid_request_error", "The content type must be application/json."),
    "headers_too_large": Row(431, "invalid_request_error", "The request line and headers are too large."),
    "rate_limit_exceeded": Row(429, "rate_limit_error", "Rate limit reached.", retry=True),
    "insufficient_quota": Row(429, "insufficient_quota", "The quota is used up."),
    "challenge_required": Row(429, "rate_limit_error", "A challenge must be solved first."),
    "client_closed_request": Row(499, "invalid_request_error", "The client closed the connection."),
    "internal_error": Row(500, "server_error", "The guard could not serve this request."),
    "upstream_error": Row(502, "server_error", "The model could not answer.", retry=True),
    "store_unavailable": Row(503, "server_error", "The guard's store cannot be reached.", retry=True),
    "overloaded": Row(503, "server_error", "The service is overloaded. Try again later.", retry=True),
    "upstream_timeout": Row(504, "server_error", "The model did not answer in time.", retry=True),
}


@dataclass(frozen=True, slots=True)
class Denial:
    """A refusal as the client will read it.

    `message` None takes the table's sentence; it never names an upstream or the
    reason behind a score. `retry_after_s` is the true time to the next success, in
    seconds. `final` marks what cannot be let pass even by `mode: observe`, because
    nothing is left that could be forwarded. `hopeless` says that the same request will never
    be served, whatever the table says of the code. `headers` go out with the answer.
    """

    code: str
    message: str | None = None
    param: str | None = None
    retry_after_s: float | None = None
    final: bool = False
    hopeless: bool = False
    headers: tuple[tuple[bytes, bytes], ...] = ()

    @property
    def row(self) -> Row:
        """The table's row for this denial."""
        return TABLE[self.code]

    @property
    def text(self) -> str:
        """The sentence that the client reads."""
        return self.message or TABLE[self.code].message


class GuardError(Exception):
    """An answer in the shape of the table."""

    def __init__(self, denial: Denial) -> None:
        super().__init__(denial.code)
        self.denial = denial


class Refused(GuardError):
    """The request is refused: by a control, or because it cannot be understood."""


class UpstreamFailure(GuardError):
    """The model behind the guard failed.

    `retryable` says that another attempt at the same place may succeed. Another model is
    tried in any case, unless the denial is the client's own mistake (status 400).
    """

    def __init__(self, denial: Denial, *, retryable: bool) -> None:
        super().__init__(denial)
        self.retryable = retryable


class BodyTooLarge(Exception):
    """The request body is larger than the limit; it was not read to its end."""


class ClientGone(Exception):
    """The client closed the connection before its answer was complete."""
