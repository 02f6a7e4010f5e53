"""The desk that prompts are handed in at, and that operators ask: one in this process, or the workers' behind Redis."""

from collections.abc import Sequence
from typing import Final, Protocol

import msgspec

from llmguard.risk.report import Alert, Report
from llmguard.risk.sight import Sight
from llmguard.risk.standing import State
from llmguard.settings import Settings

ALERTS_KEPT: Final = 1000


class Holder(msgspec.Struct, frozen=True):
    """A key and whose it is."""

    key: str
    user: str
    tenant: str
    policy: str


class Desk(Protocol):
    """What the guard and its operators need of detection. Raises StoreUnavailable."""

    def read(self, text: str) -> bytes:
        """The ids of a text, as they are compared. Takes up to 20 ms for a hostile text; may run in a thread."""
        ...

    async def take(self, sights: Sequence[Sight]) -> None:
        """Hand in prompts; never waits for anybody."""
        ...

    async def report(self, key: str) -> Report | None:
        """How a key stands; None where it was never seen."""
        ...

    async def cluster(self, name: str) -> Report | None:
        """How a cluster stands; None where there is none of this name."""
        ...

    async def alerts(self, limit: int) -> list[Alert]:
        """The last changes of state, the newest first."""
        ...

    async def pardon(self, holder: Holder) -> None:
        """Forget what is held against a key."""
        ...

    async def pin(self, holder: Holder, state: State | None, for_s: float | None) -> None:
        """Hold a key in a state, for so long or until it is let go of (None)."""
        ...

    async def run(self) -> None:
        """Keep up with time, until cancelled."""
        ...

    def reload(self, settings: Settings) -> None:
        """Go by other settings."""
        ...

    async def close(self) -> None:
        """Let go of everything."""
        ...
