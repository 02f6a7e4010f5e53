"""What answers an endpoint that no model upstream does: a service inside the guard."""

from collections.abc import Awaitable, Callable
from typing import TypeAlias

import msgspec

from llmguard.exchange import Exchange


class Served(msgspec.Struct, frozen=True):
    """A service's answer; `scores` is how many scores it tells, each of which has its price."""

    body: bytes
    scores: int = 0
    media: bytes = b"application/json"


Service: TypeAlias = Callable[[Exchange], Awaitable[Served]]
"""Called at step 3 of the request path, with everything that the controls admitted; raises GuardError.

Cancelled where the client leaves.
"""
