"""The request path.

1. Begin    an exchange is made of the request's head; nothing of the body is read yet.
2. Admit    each control in order; the first denial ends it (`mode: observe` notes it and goes on).
3. Forward  to the model, again or elsewhere where that can help, until the first byte; or to the endpoint's own
            service, where no model upstream answers it.
4. Release  every event of the answer passes the controls in reverse, then goes out (a pooling model's answer is
            reduced by them, whole); the first byte of an answer or of an error leaves when a bucket of its policy's
            time ends.
5. Settle   every control that was passed, in reverse, once, however it ended.

A client that leaves ends step 3 or 4 at once, which closes the upstream; step 5 still runs. What
a control raises is caught here, and nowhere else: it denies or is passed over, as the control says.
"""

import asyncio
import logging
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import aclosing

from msgspec.structs import replace

from llmguard.clock import Clock
from llmguard.connection import Connection
from llmguard.control import Control, Step
from llmguard.errors import ClientGone, Denial, GuardError, Refused
from llmguard.exchange import Decision, Exchange, Head, Outcome, Principal
from llmguard.pace import Pace
from llmguard.service import Service
from llmguard.settings_policies import Policy
from llmguard.upstreams.forwarder import Forwarder
from llmguard.wire.answer import Event
from llmguard.wire.chat_answer import Usage
from llmguard.wire.endpoint import Endpoint, Renderer
from llmguard.wire.errors import error_body, error_headers
from llmguard.wire.pooling import PoolingAnswer

log = logging.getLogger(__name__)

Header = tuple[bytes, bytes]
JSON: Header = (b"content-type", b"application/json")
STREAM: tuple[Header, ...] = (
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
)
NO_POLICY = Policy()
GONE = Denial("client_closed_request")


class Run:
    """What is found out while one exchange is served: the mutable part, seen by the guard alone."""

    __slots__ = (
        "connection",
        "control",
        "denial",
        "exchange",
        "first_byte",
        "gone",
        "passed",
        "renderer",
        "scores",
        "status",
        "usage",
    )

    def __init__(self, connection: Connection, exchange: Exchange) -> None:
        self.connection = connection
        self.exchange = exchange
        self.passed = 0
        self.denial: Denial | None = None
        self.control = ""
        self.gone = False
        self.renderer: Renderer | None = None
        self.status = 200
        self.usage: Usage | None = None
        self.scores: int | None = None
        self.first_byte: float | None = None


class Guard:
    """The path of a request under one version of the settings; a reload makes another one.

    `address` tells the client's own from a request's head; `new_id` gives 32 fresh hex digits.
    """

    def __init__(
        self,
        controls: Sequence[Control],
        forwarder: Forwarder,
        services: Mapping[Endpoint, Service],
        *,
        observe: bool,
        address: Callable[[Head], str],
        pace: Pace,
        clock: Clock,
        new_id: Callable[[], str],
    ) -> None:
        self._controls = tuple(controls)
        # A control that leaves a step as it is costs nothing there.
        self._admitting = _overriding(controls, "admit")
        self._releasing = _overriding(controls, "release")[::-1]
        self._reducing = _overriding(controls, "reduce")[::-1]
        self._settling = _overriding(controls, "settle")[::-1]
        self._forwarder = forwarder
        self._services = services
        self._observe = observe
        self._address = address
        self._pace = pace
        self._clock = clock
        self._new_id = new_id

    async def __call__(self, endpoint: Endpoint, connection: Connection) -> None:
        """Serve one request, from its head to its settlement."""
        run = Run(connection, self._begin(endpoint, connection))
        try:
            await self._answer(run)
            if run.denial is not None and not connection.started and not run.gone:
                await self._hold(run)
        except ClientGone:
            # It did not wait to hear that it was refused; the refusal stays on record.
            run.gone = True
        except asyncio.CancelledError:
            # The server stops and the grace period is over: the answer ends here, at once, and says so.
            run.denial = Denial("overloaded", retry_after_s=1.0)
            raise
        finally:
            await self._end(run.exchange, run)
            await connection.finish()

    async def _answer(self, run: Run) -> None:
        """Steps 2 to 4; what goes wrong there is the run's denial."""
        try:
            await self._admit(run)
            if run.denial is None:
                await self._serve(run.exchange, run)
        except GuardError as error:
            run.denial = error.denial
        except ClientGone:
            run.denial, run.gone = GONE, True
        except Exception as error:  # noqa: BLE001  the one place; the client gets the table's row
            log.error("request %s failed: %s", run.exchange.id, _where(error))
            run.denial = Denial("internal_error")

    # 1 ------------------------------------------------------------------------------------

    def _begin(self, endpoint: Endpoint, connection: Connection) -> Exchange:
        return Exchange(
            id="req_" + self._new_id(),
            endpoint=endpoint,
            head=connection.head,
            started=self._clock.monotonic(),
            created=int(self._clock.time()),
            read=connection.read,
            # Nobody, until authentication says who; `mode: observe` may go on with nobody.
            principal=Principal("", "", "", "", self._address(connection.head)),
            policy=NO_POLICY,
        )

    # 2 ------------------------------------------------------------------------------------

    async def _admit(self, run: Run) -> None:
        for place, control in self._admitting:
            run.passed, exchange = place, run.exchange
            try:
                result = await control.admit(exchange)
            except Refused as error:
                result = error.denial
            except ClientGone:
                raise
            except Exception as error:  # noqa: BLE001  a control that fails: deny or allow, as it says
                result = self._broken(control, exchange, error)
            if isinstance(result, Exchange):
                run.exchange = result
            elif self._observe and not result.final:
                run.exchange = replace(exchange, observed=(*exchange.observed, (control.name, result.code)))
            else:
                run.denial, run.control = result, control.name
                return
        run.passed = len(self._controls)

    def _broken(self, control: Control, exchange: Exchange, error: Exception) -> Exchange | Denial:
        log.error("control %s failed on %s: %s", control.name, exchange.id, _where(error))
        return exchange if control.on_error == "allow" else Denial("internal_error", final=True)

    # 3 ------------------------------------------------------------------------------------

    async def _serve(self, exchange: Exchange, run: Run) -> None:
        endpoint = exchange.endpoint
        if endpoint.pooled is not None:
            async with run.connection.while_client_stays():
                body = await self._pooled(exchange, run, endpoint.pooled)
                await self._wait(exchange)
            await self._whole(exchange, run, body)
            return
        if endpoint.renderer is None:
            await self._serve_here(exchange, run)
            return
        renderer = run.renderer = endpoint.renderer(exchange.asked, exchange.id[4:], exchange.created)
        async with run.connection.while_client_stays():
            if exchange.stream:
                await self._stream(exchange, run, renderer)
                return
            event = await self._forwarder.ask(exchange)
            run.usage = event.usage or None
            for control in self._releasing:
                event = self._release(control, exchange, event)
            body = renderer.whole(event)
            await self._wait(exchange)
        await self._whole(exchange, run, body)

    async def _serve_here(self, exchange: Exchange, run: Run) -> None:
        async with run.connection.watched():
            served = await self._services[exchange.endpoint](exchange)
            run.scores = served.scores
            await self._wait(exchange)
        await self._whole(exchange, run, served.body, served.media)

    async def _pooled(self, exchange: Exchange, run: Run, write: Callable[[object, PoolingAnswer], bytes]) -> bytes:
        answer = await self._forwarder.pool(exchange)
        run.usage = answer.usage
        for place in self._reducing:
            answer = self._reduce(place, exchange, answer)
        return write(exchange.asked, answer)

    async def _stream(self, exchange: Exchange, run: Run, renderer: Renderer) -> None:
        connection = run.connection
        async with aclosing(self._forwarder.stream(exchange)) as stream:
            async for events in stream:
                frames = renderer.chunks(self._released(exchange, run, events))
                if not connection.started:
                    await self._wait(exchange)
                    await self._start(exchange, run, 200, STREAM)
                if frames:
                    await connection.write(frames, more=True)
        if not connection.started:  # an answer of nothing
            await self._wait(exchange)
            await self._start(exchange, run, 200, STREAM)
        await connection.write(renderer.end(run.usage), more=False)

    # 4 ------------------------------------------------------------------------------------

    def _released(self, exchange: Exchange, run: Run, events: list[Event]) -> list[Event]:
        kept = []
        for event in events:
            if event.usage:
                run.usage = event.usage
            if not event.choices:
                continue  # usage alone: the renderer writes it at the end, for those who asked
            for control in self._releasing:
                event = self._release(control, exchange, event)
            kept.append(event)
        return kept

    def _release(self, control: tuple[int, Control], exchange: Exchange, event: Event) -> Event:
        try:
            return control[1].release(exchange, event)
        except Exception as error:  # as in admit
            denial = self._broken(control[1], exchange, error)
            if isinstance(denial, Denial):
                raise GuardError(denial) from error
            return event

    def _reduce(self, control: tuple[int, Control], exchange: Exchange, answer: PoolingAnswer) -> PoolingAnswer:
        try:
            return control[1].reduce(exchange, answer)
        except Exception as error:  # as in admit
            denial = self._broken(control[1], exchange, error)
            if isinstance(denial, Denial):
                raise GuardError(denial) from error
            return answer

    async def _wait(self, exchange: Exchange) -> None:
        """Let the bucket of time end in which an answer became ready."""
        now = self._clock.monotonic()
        left = self._pace.left_s(exchange.principal.policy, now - exchange.started)
        if left:
            await self._clock.sleep_until(now + left)

    async def _hold(self, run: Run) -> None:
        """The same outside of a watch over the client; raises ClientGone."""
        async with run.connection.watched():
            await self._wait(run.exchange)

    async def _start(self, exchange: Exchange, run: Run, status: int, headers: Sequence[Header]) -> None:
        run.first_byte = elapsed = self._clock.monotonic() - exchange.started
        await run.connection.start(
            status,
            [
                *headers,
                *exchange.headers,
                (b"x-request-id", exchange.id.encode()),
                (b"openai-processing-ms", b"%d" % (elapsed * 1000)),
            ],
        )

    async def _whole(self, exchange: Exchange, run: Run, body: bytes, media: bytes = JSON[1]) -> None:
        await self._start(exchange, run, 200, ((JSON[0], media), (b"content-length", b"%d" % len(body))))
        await run.connection.write(body, more=False)

    # 5 ------------------------------------------------------------------------------------

    async def _end(self, exchange: Exchange, run: Run) -> None:
        try:
            if run.denial is not None:
                await self._tell(exchange, run, run.denial)
        except Exception as error:  # noqa: BLE001  nothing more can be said; the controls must still settle
            log.error("request %s could not be told: %s", exchange.id, _where(error))
        finally:
            # Whatever became of the client: a wait for a slow one can be cut short here.
            await self._settle(exchange, run)

    async def _settle(self, exchange: Exchange, run: Run) -> None:
        outcome = Outcome(
            decision=_decision(exchange, run),
            status=run.status,
            code=run.denial.code if run.denial else "",
            control=run.control,
            usage=run.usage,
            scores=run.scores,
            sent_bytes=run.connection.sent_bytes,
            first_byte_s=run.first_byte,
            duration_s=self._clock.monotonic() - exchange.started,
        )
        cancelled: asyncio.CancelledError | None = None
        for place, control in self._settling:
            if place >= run.passed:
                continue
            try:
                await control.settle(exchange, outcome)
            except asyncio.CancelledError as error:  # the process ends; the others must still settle
                cancelled = error
            except Exception as error:  # noqa: BLE001  the answer is out; the others must still settle
                log.error("control %s could not settle %s: %s", control.name, exchange.id, _where(error))
        if cancelled is not None:
            raise cancelled

    async def _tell(self, exchange: Exchange, run: Run, denial: Denial) -> None:
        """Answer with an error: as a body, or as the last frame of a stream that has begun."""
        connection = run.connection
        if run.gone:
            run.status = GONE.row.status
        elif not connection.started:
            body = error_body(denial)
            headers = [JSON, (b"content-length", b"%d" % len(body)), *error_headers(denial)]
            run.status = denial.row.status
            await self._start(exchange, run, denial.row.status, headers)
            await connection.write(body, more=False)
        elif exchange.stream and run.renderer is not None and not connection.ended:
            await connection.write(run.renderer.error(denial), more=False)


def _overriding(controls: Sequence[Control], step: str) -> tuple[tuple[int, Control], ...]:
    return tuple(
        (place, control)
        for place, control in enumerate(controls)
        if getattr(type(control), step) is not getattr(Step, step)
    )


def _decision(exchange: Exchange, run: Run) -> Decision:
    if run.denial is not None:
        return "deny" if run.control else "error"
    return "observe" if exchange.observed else "allow"


def _where(error: BaseException) -> str:
    """An exception by type and place: its message may hold what a client wrote."""
    frames = traceback.extract_tb(error.__traceback__)[-6:]
    places = " < ".join(f"{frame.filename.rsplit('/', 1)[-1]}:{frame.lineno}" for frame in reversed(frames))
    return f"{type(error).__name__} at {places}"
