"""A ledger in Redis: any number of guards share it.

Its time is the server's, so that no guard's clock matters. All of an operation is one script and one round trip.
On a cluster the counters of one subject lie in one slot and change in one script; the subjects are asked in parallel,
and what some of them gave is taken back where another refused. So no limit is exceeded there either, but of requests
that come at once for the last room more may be refused than must.

A reservation has a lease, which its guard extends while it is held: where the guard dies it is spent in full at the
end of the lease. A settlement that comes later spends only what goes beyond that and gives nothing back, so that a late
end never changes a newer window.

A settlement that fails, and the end of a reservation whose answer is lost, are asked for in the background until they
succeed; the reservation ends with its lease at the latest. What Redis forgets can be spent again: it must not evict
(`maxmemory-policy noeviction`), and in a fail-over it loses what was not replicated yet.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from functools import partial
from hashlib import sha1
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple, TypeAlias

import msgspec
from hiredis import pack_command
from redis.exceptions import (
    AskError,
    ClusterDownError,
    MovedError,
    NoScriptError,
    RedisClusterException,
    RedisError,
    ResponseError,
    TryAgainError,
)

from llmguard.clock import Clock, SystemClock
from llmguard.store.ledger import RELEASE_S, RESOLUTION, Charges, Counter, Level, Receipt
from llmguard.store.redis_client import RedisClient
from llmguard.store.redis_lane import BREAK_S, Lane, LaneBroken
from llmguard.store.store import StoreUnavailable

log = logging.getLogger(__name__)

LEASE_S: Final = 60.0
"""How long a reservation outlives a guard that died; then it is spent in full, and a slot is free again."""
EXTEND_S: Final = LEASE_S / 3
TICK_S: Final = 1.0
FAILURES: Final = (RedisError, RedisClusterException, msgspec.MsgspecError, OSError)
ELSEWHERE: Final = (MovedError, AskError, TryAgainError, ClusterDownError)
"""Answers that say: not here, or not now. Nothing was done."""
REFUSED: Final = (LaneBroken, ResponseError)
"""What says that nothing was done, and will not be."""
UNSETTLED: Final = 10_000
"""Settlements that wait for the server; of older ones the reservations are left to their leases."""
PLACES: Final = 4_096
"""Sets of counters whose keys are kept, at 3 KB each: to name them anew takes longer than the rest of a reservation."""
EMPTY: Final = b"$0\r\n\r\n"
"""How a command ends whose last argument is empty."""
BATCH: Final = 64
"""Of them, those asked for at once: a server that was busy is not kept busy."""
MOST: Final = 2**63 - 1
"""What is sent of a larger number, such as an upstream may claim was spent."""
NEVER: Final = -1.0
"""No time, in what is sent and answered."""
LEVEL: Final = -2.0
"""In place of the length of a window, that of a counter that is only ever reserved."""

Levels = list[tuple[int, int, float]]
Answer = tuple[float, list[int], Levels, str | Literal[False]]
Rows = Sequence[tuple[float | bool, ...]]
Answers = list[tuple[Sequence[int], Any]]
"""The places of the counters that lie together, and the answer or failure of these."""
Sent: TypeAlias = "list[tuple[Sequence[int], Request]]"
"""The places of the counters that lie together, and what was asked of these."""


class Script(NamedTuple):
    """A script, the server's name for it, and what it answers."""

    text: bytes
    sha: str
    decode: Callable[[Any], Any]


class Place(NamedTuple):
    """Counters as a server has them: two keys of each and one of the note, the windows' lengths as the beginnings of
    rows, and by script what a command begins with.
    """

    keys: tuple[str, ...]
    every: tuple[tuple[float], ...]
    heads: dict[str, bytes]


class Held(msgspec.Struct, gc=False):
    """A reservation under way, and from when its lease runs."""

    charges: Charges
    amounts: Sequence[int]
    since: float


class Request(NamedTuple):
    """A script that was sent, and what it takes to send it once more."""

    script: Script
    keys: tuple[str, ...]
    argument: bytes
    lane: Lane
    answer: "asyncio.Future[Any]"
    deadline: float


class RedisLedger:
    """A ledger behind `client`, which somebody else closes. `timeout_s` bounds each operation as a whole.

    After a failure nothing is asked of a server for BREAK_S, then one operation is tried; the others fail at once.
    `clock` is for tests: it stands in for the server's.
    """

    def __init__(self, client: RedisClient, *, timeout_s: float, clock: Clock | None = None) -> None:
        self._client = client
        self._clustered = client.clustered
        self._timeout_s = timeout_s
        self._clock = clock
        self._monotonic = (clock or SystemClock()).monotonic
        self._open: dict[str, Held] = {}
        self._lanes: dict[str, Lane] = {}
        self._places: dict[tuple[tuple[Counter, ...], str | None], Place] = {}
        self._unsettled: deque[tuple[str, Charges, Sequence[int], Sequence[int]]] = deque(maxlen=UNSETTLED)
        self._settler: asyncio.Task[None] | None = None
        self._encode = msgspec.msgpack.Encoder().encode
        self._reserve = load_script("reserve", msgspec.msgpack.Decoder(Answer).decode)
        self._levels = load_script("levels", msgspec.msgpack.Decoder(Levels).decode)
        self._settle, self._extend, self._grant = (load_script(name, int) for name in ("settle", "extend", "grant"))

    async def reserve(self, id: str, charges: Charges, amounts: Sequence[int], about: str | None = None) -> Receipt:
        """Hold the amounts of all charges under `id`, or of none; `about` is read along.

        Where that fails, what may be held is cancelled in the background: do not ask again under the same `id`.
        """
        since = self._monotonic()
        counters = tuple([charge.counter for charge in charges])
        rows = [(charge.limit, amount, charge.forced) for charge, amount in zip(charges, amounts, strict=True)]
        sent = self._send(self._reserve, counters, id, LEASE_S, rows, about)
        try:
            answers = await self._answers(sent)
        except asyncio.CancelledError:
            self._later(id, charges, amounts, [0] * len(charges))
            raise
        failures = [answer for _, answer in answers if isinstance(answer, StoreUnavailable)]
        if failures:
            unsure = [place for part, answer in answers if not _refused(answer) for place in part]
            self._later(id, *_at(unsure, charges, amounts), [0] * len(unsure))
            raise failures[0]
        if len(answers) == 1:
            receipt = _receipt(answers[0][1], charges, amounts)
        else:
            held = [place for part, answer in answers if not _refused(answer) for place in part]
            if len(held) < len(charges):
                await self._take_back(id, *_at(held, charges, amounts), sent[0][1].deadline)
            receipt = _receipt(_joined(charges, amounts, answers), charges, amounts)
        if charges and not receipt.exceeded:
            self._open[id] = Held(charges, amounts, since)
        return receipt

    def settle(self, id: str, actual: Sequence[int]) -> Coroutine[Any, Any, None]:
        """End a reservation: what was really spent, in the order of its charges, counts from now on.

        Where that fails it is asked again in the background. What goes beyond the amounts can then count twice, where
        only the answer was lost.
        """
        held = self._open.pop(id, None)
        return self._end(id, *((), (), ()) if held is None else (held.charges, held.amounts, actual))

    async def keep(self) -> None:
        """Extend leases, until cancelled."""
        while True:
            await asyncio.sleep(TICK_S)
            await self.extend()

    async def extend(self) -> None:
        """Extend the leases that are due; where Redis fails, the next time: two thirds of them are left."""
        now = self._monotonic()
        for id, held in [(id, held) for id, held in self._open.items() if now - held.since >= EXTEND_S]:
            counters = tuple([charge.counter for charge in held.charges])
            try:
                await self._run(self._extend, counters, id, LEASE_S, [(amount,) for amount in held.amounts])
            except StoreUnavailable:
                return
            held.since = now

    async def levels(self, counters: Sequence[Counter]) -> list[Level]:
        """How they stand."""
        answers = await self._run(self._levels, tuple(counters), "", 0, [()] * len(counters))
        found = {place: _level(*level) for part, levels in answers for place, level in zip(part, levels, strict=True)}
        return [found[place] for place in range(len(counters))]

    async def reset(self, counters: Sequence[Counter]) -> None:
        """Forget what was spent and granted; what is reserved stays."""
        await self._run(self._grant, tuple(counters), "", NEVER, [()] * len(counters))

    async def grant(self, counter: Counter, amount: int) -> None:
        """Allow so much more for one window, or for good where there is none."""
        await self._run(self._grant, (counter,), "", amount, [()])

    async def note(self, subject: str, text: str | None, lasts_s: float) -> None:
        """Note a text on a subject for so long; None forgets it."""
        key = _note_key(subject)
        try:
            async with asyncio.timeout(self._timeout_s):
                if text is None:
                    await self._client.execute("DEL", key)
                else:
                    await self._client.execute("SET", key, text, "PX", max(1, round(lasts_s * 1000)))
        except FAILURES as error:
            raise StoreUnavailable("Redis failed or did not answer in time") from error

    async def close(self) -> None:
        """Close the connections; what is not settled by now is left to the leases."""
        if self._settler is not None:
            self._settler.cancel()
            await asyncio.wait([self._settler])
        for lane in self._lanes.values():
            await lane.close()

    # --- settlements that wait -------------------------------------------------------------

    async def _end(self, id: str, charges: Charges, amounts: Sequence[int], actual: Sequence[int]) -> None:
        """Settle, at once or in the background."""
        rows = [*zip(amounts, actual, strict=True)]
        sent = self._send(self._settle, tuple([charge.counter for charge in charges]), id, 0, rows)
        try:
            answers = await self._answers(sent)
        except asyncio.CancelledError:
            self._later(id, charges, amounts, actual)
            raise
        failed = [place for part, answer in answers if isinstance(answer, StoreUnavailable) for place in part]
        if failed:
            self._later(id, *_at(failed, charges, amounts), [actual[place] for place in failed])
            log.warning("a settlement waits for the store")

    async def _take_back(self, id: str, charges: Charges, amounts: Sequence[int], deadline: float) -> None:
        """Cancel what some subjects gave and others refused, by the deadline or in the background."""
        with suppress(TimeoutError):
            async with asyncio.timeout_at(deadline):
                await self._end(id, charges, amounts, [0] * len(charges))

    def _later(self, id: str, charges: Charges, amounts: Sequence[int], actual: Sequence[int]) -> None:
        """Settle in the background, again and again until it is done."""
        if charges:
            self._unsettled.append((id, charges, amounts, actual))
        if self._unsettled and self._settler is None:
            self._settler = asyncio.get_running_loop().create_task(self._settle_waiting())

    async def _settle_waiting(self) -> None:
        try:
            while self._unsettled:
                batch = [self._unsettled.popleft() for _ in range(min(BATCH, len(self._unsettled)))]
                left = len(self._unsettled)
                await asyncio.gather(*(self._end(*waiting) for waiting in batch))
                if len(self._unsettled) > left:  # those that failed wait again
                    await asyncio.sleep(BREAK_S)
        finally:
            self._settler = None

    # --- scripts ---------------------------------------------------------------------------

    async def _run(self, script: Script, counters: tuple[Counter, ...], id: str, value: float, rows: Rows) -> Answers:
        """The answer of each part. Raises `StoreUnavailable` where one failed, once all have ended."""
        answers = await self._answers(self._send(script, counters, id, value, rows))
        for _, answer in answers:
            if isinstance(answer, StoreUnavailable):
                raise answer
        return answers

    def _send(
        self,
        script: Script,
        counters: tuple[Counter, ...],
        id: str,
        value: float,
        rows: Rows,
        about: str | None = None,
    ) -> Sent:
        """Start a script, all at once: on a cluster for the counters of each subject.

        The note lies with the counters of its subject, or in a part of its own.
        """
        if not counters and about is None:
            return []
        if not self._clustered:
            return [(range(len(rows)), self._start(script, counters, id, value, rows, about))]
        parts: dict[str, list[int]] = {} if about is None else {about: []}
        for place, counter in enumerate(counters):
            parts.setdefault(counter.subject, []).append(place)
        return [
            (part, self._start(script, tuple([counters[n] for n in part]), id, value, [rows[n] for n in part], note))
            for part, note in ((part, about if subject == about else None) for subject, part in parts.items())
        ]

    def _start(
        self, script: Script, counters: tuple[Counter, ...], id: str, value: float, rows: Rows, about: str | None
    ) -> Request:
        """Start a script on the server of its counters; a row for each, which goes behind the window's length."""
        place = self._place(counters, about)
        keys = place.keys
        now = NEVER if self._clock is None else self._clock.monotonic()
        whole = [every + row for every, row in zip(place.every, rows, strict=True)]
        try:
            packed = self._encode((id, now, value, whole))
        except OverflowError:
            packed = self._encode((id, now, min(value, MOST), [[min(number, MOST) for number in row] for row in whole]))
        head = place.heads.get(script.sha)
        if head is None:
            head = place.heads[script.sha] = _packed("EVALSHA", script.sha, len(keys), *keys, b"").removesuffix(EMPTY)
        server = self._client.server(keys[0])
        lane = self._lanes.get(server)
        if lane is None:
            lane = self._lanes[server] = Lane(partial(self._client.connect, keys[0]), timeout_s=self._timeout_s)
        deadline = asyncio.get_running_loop().time() + self._timeout_s
        answer = lane.execute(b"%b$%d\r\n%b\r\n" % (head, len(packed), packed))
        return Request(script, keys, packed, lane, answer, deadline)

    def _place(self, counters: tuple[Counter, ...], about: str | None) -> Place:
        found = self._places.get((counters, about))
        if found is None:
            if len(self._places) >= PLACES:
                self._places.clear()
            tails = [f"{{{counter.subject}}}:{counter.measure}" for counter in counters]
            keys = [f"llmguard:{kind}:{tail}" for tail in tails for kind in ("quota", "held")]
            keys += [] if about is None else [_note_key(about)]
            every = tuple([(_every(counter),) for counter in counters])
            found = self._places[counters, about] = Place(tuple(keys), every, {})
        return found

    async def _answers(self, sent: Sent) -> Answers:
        """The answer, or failure, of each part, once all have ended."""
        answers: Answers = []
        for part, request in sent:
            try:
                answer = request.script.decode(await request.answer)
            except FAILURES as error:
                answer = await self._again(request, error)
            answers.append((part, answer))
        return answers

    async def _again(self, request: Request, error: Exception) -> Any:
        """What a script answers that was not known to the server, or is asked for elsewhere; else the failure."""
        script, keys, argument, lane, _, deadline = request
        try:
            if isinstance(error, NoScriptError):
                async with asyncio.timeout_at(deadline):
                    again = _packed("EVAL", script.text, len(keys), *keys, argument)
                    return script.decode(await lane.execute(again))
            if isinstance(error, ELSEWHERE):
                async with asyncio.timeout_at(deadline):
                    return script.decode(await self._client.execute("EVAL", script.text, len(keys), *keys, argument))
        except FAILURES as second:
            error = second
        failure = StoreUnavailable("Redis failed or did not answer in time")
        failure.__cause__ = error
        return failure


def load_script(name: str, decode: Callable[[Any], Any]) -> Script:
    """A script of this folder, with what all of them begin with."""
    here = Path(__file__)
    constants = f"local RESOLUTION, RELEASE_S, LEVEL = {RESOLUTION}, {RELEASE_S}, {LEVEL}\n"
    text = constants + here.with_name("counter.lua").read_text() + here.with_name(f"{name}.lua").read_text()
    return Script(text.encode(), sha1(text.encode(), usedforsecurity=False).hexdigest(), decode)


def _packed(*command: str | bytes | int) -> bytes:
    packed: bytes = pack_command(command)  # type: ignore[arg-type]  # hiredis means a tuple of any length
    return packed


def _note_key(subject: str) -> str:
    return f"llmguard:note:{{{subject}}}"


def _every(counter: Counter) -> float:
    if counter.level:
        return LEVEL
    return NEVER if counter.every_s is None else counter.every_s


def _level(spent: int, reserved: int, reset_s: float) -> Level:
    return Level(spent, reserved, None if reset_s < 0 else reset_s)


def _at(places: Sequence[int], charges: Charges, amounts: Sequence[int]) -> tuple[Charges, Sequence[int]]:
    """Some of the charges, and what is asked of these."""
    return tuple([charges[place] for place in places]), [amounts[place] for place in places]


def _receipt(answer: Answer, charges: Charges, amounts: Sequence[int]) -> Receipt:
    retry_after_s, exceeded, levels, note = answer
    standing = zip(charges, levels, strict=True)
    left = [charge.limit - spent - reserved for charge, (spent, reserved, _) in standing]
    if not exceeded and 0 not in amounts:
        return Receipt(left, (), None, note or None)
    after_s = None if retry_after_s < 0 else retry_after_s
    return Receipt(left, tuple(exceeded), after_s, note or None, tuple([_level(*level) for level in levels]))


def _refused(answer: Any) -> bool:
    """Whether a part surely holds nothing."""
    return isinstance(answer.__cause__, REFUSED) if isinstance(answer, StoreUnavailable) else bool(answer[1])


def _joined(charges: Charges, amounts: Sequence[int], answers: Answers) -> Answer:
    """One answer of those of the parts; where one refused, what the others gave was taken back."""
    refused = [answer for _, answer in answers if _refused(answer)]
    levels: dict[int, tuple[int, int, float]] = {}
    for part, answer in answers:
        for place, (spent, reserved, reset_s) in zip(part, answer[2], strict=True):
            counter = charges[place].counter
            back = sum(amounts[other] for other in part if charges[other].counter == counter)
            kept = not refused or _refused(answer)
            levels[place] = spent, reserved if kept else reserved - back, reset_s
    waits = [answer[0] for answer in refused]
    return (
        max(waits, default=NEVER) if NEVER not in waits else NEVER,
        sorted(part[place] for part, answer in answers for place in answer[1]),
        [levels[place] for place in range(len(charges))],
        next((answer[3] for _, answer in answers if answer[3]), False),
    )
