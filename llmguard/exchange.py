"""One request on its way through the guard: the values that every control reads.

Frozen msgspec structs, not dataclasses: an exchange is replaced several times a
request, and `msgspec.structs.replace` costs a twentieth of `dataclasses.replace`.
"""

from collections.abc import Awaitable, Callable
from typing import Literal, TypeAlias

import msgspec

from llmguard.mark import Marks
from llmguard.quota.reservation import Reservation
from llmguard.settings import Model
from llmguard.settings_policies import Policy
from llmguard.wire.chat_answer import Usage
from llmguard.wire.endpoint import Endpoint
from llmguard.wire.model_request import ModelRequest
from llmguard.wire.pooling import PoolingRequest

Decision: TypeAlias = Literal["allow", "deny", "observe", "error"]


class Principal(msgspec.Struct, frozen=True):
    """Who asks: the ids that limits, evidence and watermarks hang on. `ip` is the client's own."""

    key: str
    user: str
    tenant: str
    policy: str
    ip: str


class Head(msgspec.Struct, frozen=True):
    """What stands before the body. Header names are lower-case; `peer` is the socket's address."""

    method: str
    path: str
    headers: dict[bytes, bytes]
    peer: str
    query: bytes = b""


class Exchange(msgspec.Struct, frozen=True, kw_only=True):
    """One request and what has been found out about it so far.

    `id` is the public request id, `started` monotonic seconds, `created` Unix seconds.
    `read(limit)` gives the body once, and raises BodyTooLarge or ClientGone.
    `asked` is the body as the endpoint's own shape, `request` what will be sent upstream, once
    validated (`pooling`, where it goes to a model that writes no text); `target` is the configured model that will
    serve it. Until authentication the
    principal is nobody, and so it stays where `mode: observe` lets a request pass without a key.
    `observed` holds (control, code) of the denials that were let pass, `reservation` what is held of the quotas,
    `headers` what the answer will carry besides the guard's own, `marks` the watermarks of its text, `said` what
    has been relayed of each choice where it is to be remembered,
    `sampled` that its prompt is kept for review. `note` is what is noted of the key where its prompts are watched,
    `solved` says that it did the work of a challenge.
    """

    id: str
    endpoint: Endpoint
    head: Head
    started: float
    created: int
    read: Callable[[int], Awaitable[bytes]]
    principal: Principal
    policy: Policy
    body_bytes: int = 0
    model: str = ""
    stream: bool = False
    asked: object = None
    request: ModelRequest | None = None
    pooling: PoolingRequest | None = None
    target: Model | None = None
    observed: tuple[tuple[str, str], ...] = ()
    reservation: Reservation | None = None
    marks: Marks | None = None
    sampled: bool = False
    note: str | None = None
    solved: bool = False
    said: dict[int, list[str]] | None = None
    headers: tuple[tuple[bytes, bytes], ...] = ()


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """How an exchange ended.

    `decision` is `allow`, `deny` (with the `control` that refused), `observe` (a denial was
    noted and let pass) or `error`. `status` is what the client was sent, 499 when it had gone;
    `code` the error's code or "". `usage` is what the upstream reported, `scores` how many scores a service
    told. Times are seconds; `first_byte_s` is None when no byte of an answer was sent.
    """

    decision: Decision
    status: int
    code: str = ""
    control: str = ""
    usage: Usage | None = None
    scores: int | None = None
    sent_bytes: int = 0
    first_byte_s: float | None = None
    duration_s: float = 0.0
