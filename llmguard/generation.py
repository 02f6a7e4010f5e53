"""What one version of the settings built: a reload starts another beside it and lets this one run out."""

import asyncio
from collections.abc import Mapping

from llmguard.connection import Connection
from llmguard.counters import Counters
from llmguard.guard import Guard
from llmguard.keyring import Keyring
from llmguard.settings import Settings
from llmguard.upstreams.upstream import Upstream
from llmguard.wire.endpoint import Endpoint


class Generation:
    """A guard with its upstreams, and how many requests it is serving."""

    def __init__(
        self,
        settings: Settings,
        guard: Guard,
        keyring: Keyring,
        upstreams: Mapping[str, Upstream],
        counters: Counters,
    ) -> None:
        self.settings = settings
        self.keyring = keyring
        self.upstreams = upstreams
        self.counters = counters
        self.running = 0
        self._guard = guard
        self._idle = asyncio.Event()

    async def serve(self, endpoint: Endpoint, connection: Connection) -> None:
        """Serve one request."""
        self.running += 1
        try:
            await self._guard(endpoint, connection)
        finally:
            self.running -= 1
            if not self.running:
                self._idle.set()

    async def finished(self) -> None:
        """Return once it serves nothing; only asked of a generation that gets no new requests."""
        while self.running:
            self._idle.clear()
            await self._idle.wait()
