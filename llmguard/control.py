"""What a control is. One control is one file in `llmguard/controls/`."""

from typing import Literal, Protocol

from llmguard.errors import Denial
from llmguard.exchange import Exchange, Outcome
from llmguard.wire.answer import Event
from llmguard.wire.pooling import PoolingAnswer


class Control(Protocol):
    """One decision about a request, its answer, or both.

    `on_error` is what happens to the request when the control itself fails with an
    exception: `deny` answers 500 (fail closed), `allow` goes on without it. Only the guard
    catches that exception.
    """

    @property
    def on_error(self) -> Literal["deny", "allow"]:
        """What happens to a request when the control itself fails."""
        ...

    @property
    def name(self) -> str:
        """The control's name in audit lines and metrics."""
        ...

    async def admit(self, exchange: Exchange) -> Exchange | Denial:
        """Look at a request before it is forwarded; give it back, changed or not, or refuse it."""
        ...

    def release(self, exchange: Exchange, event: Event) -> Event:
        """Look at one event of the answer (a whole answer, or a chunk of a stream)."""
        ...

    def reduce(self, exchange: Exchange, answer: PoolingAnswer) -> PoolingAnswer:
        """Look at the answer of a pooling model: labels or vectors."""
        ...

    async def settle(self, exchange: Exchange, outcome: Outcome) -> None:
        """Account for the end. Called exactly once for every exchange that was admitted here."""
        ...


class Step:
    """A control that does nothing; a control overrides the steps that it has a part in."""

    @property
    def on_error(self) -> Literal["deny", "allow"]:
        """Deny."""
        return "deny"

    @property
    def name(self) -> str:
        """The class's name in lower case."""
        return type(self).__name__.lower()

    async def admit(self, exchange: Exchange) -> Exchange | Denial:
        """Let the request pass."""
        return exchange

    def release(self, exchange: Exchange, event: Event) -> Event:
        """Let the event pass."""
        return event

    def reduce(self, exchange: Exchange, answer: PoolingAnswer) -> PoolingAnswer:
        """Let the answer pass."""
        return answer

    async def settle(self, exchange: Exchange, outcome: Outcome) -> None:
        """Nothing to account for."""
