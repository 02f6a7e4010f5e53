"""A ledger in Redis: any number of guards share it.

Its time is the server's, so that no guard's clock matters. All of an operation is one script and one round trip.
On a cluster the counters of one subject lie in one slot and change in one script; the subjects are asked in parallel,
and what some of them gave is taken back where another refused. So no limit is exceeded there either, but of requests
that come at once for the last room more may be refused than must.

A reservation whose answer is lost is cancelled in the background, and ends with its lease at the latest. What Redis
forgets can be spent again: it must not evict (`maxmemory-policy noeviction`), and in a fail-over it loses what was not
replicated yet.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from hashlib import sha1
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
from hiredis import pack_command
from msgspec.structs import replace
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

from llmguard.clock import Clock
from llmguard.store.ledger import RELEASE_S, RESOLUTION, Charge, Counter, Level, Receipt
from llmguard.store.redis_client import RedisClient
from llmguard.store.redis_lane import BREAK_S, Lane, LaneBroken
from llmguard.store.store import StoreUnavailable

FAILURES: Final = (RedisError, RedisClusterException, msgspec.MsgspecError, OSError)
ELSEWHERE: Final = (MovedError, AskError, TryAgainError, ClusterDownError)
"""Answers that say: not here, or not now. Nothing was done."""
REFUSED: Final = (LaneBroken, ResponseError)
"""What says that nothing was done, and will not be."""
LOST: Final = 10_000
"""Lost reservations to be cancelled; older ones are left to their leases."""
UNAVAILABLE: Final = "Redis failed or did not answer in time"
NEVER: Final = -1.0
"""No time, in what is sent and answered."""

Levels = list[tuple[int, int, float]]


class Script(NamedTuple):
    """A script, the server's name for it, and what it answers."""

    text: bytes
    sha: str
    decode: Callable[[Any], Any]


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
        self._lanes: dict[str, Lane] = {}
        self._lost: deque[tuple[str, Sequence[Charge]]] = deque(maxlen=LOST)
        self._canceller: asyncio.Task[None] | None = None
        self._encode = msgspec.msgpack.Encoder().encode
        self._reserve = _script("reserve", msgspec.msgpack.Decoder(tuple[float, list[int], Levels]).decode)
        self._levels = _script("levels", msgspec.msgpack.Decoder(Levels).decode)
        self._settle, self._extend, self._grant = (_script(name, int) for name in ("settle", "extend", "grant"))

    async def reserve(self, id: str, charges: Sequence[Charge], lease_s: float) -> Receipt:
        """Hold the amounts of all charges under `id` for `lease_s` seconds, or of none."""
        parts = self._parts([charge.counter for charge in charges])
        if len(parts) == 1:
            return await self._reserve_part(id, charges, lease_s)
        return await self._reserve_parts(id, charges, lease_s, parts)

    async def settle(self, id: str, charges: Sequence[Charge], actual: Sequence[int]) -> None:
        """End a reservation. Where that fails it can be asked again; on a cluster a part may have ended."""
        rows = [(_every(charge.counter), charge.amount, spent) for charge, spent in zip(charges, actual, strict=True)]
        await self._run_parts(self._settle, [charge.counter for charge in charges], id, 0, rows)

    async def extend(self, id: str, charges: Sequence[Charge], lease_s: float) -> None:
        """Let a reservation that is still held last `lease_s` from now."""
        rows = [(_every(charge.counter), charge.amount) for charge in charges]
        await self._run_parts(self._extend, [charge.counter for charge in charges], id, lease_s, rows)

    async def levels(self, counters: Sequence[Counter]) -> list[Level]:
        """How they stand."""
        rows = [(_every(counter),) for counter in counters]
        answers = await self._run_parts(self._levels, counters, "", 0, rows)
        found = {place: _level(*level) for part, levels in answers for place, level in zip(part, levels, strict=True)}
        return [found[place] for place in range(len(counters))]

    async def reset(self, counters: Sequence[Counter]) -> None:
        """Forget what was spent and granted; what is reserved stays."""
        await self._run_parts(self._grant, counters, "", NEVER, [(_every(counter),) for counter in counters])

    async def grant(self, counter: Counter, amount: int) -> None:
        """Allow so much more for one window, or for good where there is none."""
        await self._run(self._grant, [counter], "", amount, [(_every(counter),)])

    async def close(self) -> None:
        """Close the connections; lost reservations are left to their leases."""
        if self._canceller is not None:
            self._canceller.cancel()
            await asyncio.wait([self._canceller])
        for lane in self._lanes.values():
            await lane.close()

    # --- reserve ---------------------------------------------------------------------------

    async def _reserve_part(self, id: str, charges: Sequence[Charge], lease_s: float) -> Receipt:
        """Reserve what one script can."""
        rows = [(_every(charge.counter), charge.limit, charge.amount, charge.forced) for charge in charges]
        try:
            answer = await self._run(self._reserve, [charge.counter for charge in charges], id, lease_s, rows)
        except StoreUnavailable as error:
            if not isinstance(error.__cause__, REFUSED):
                self._lose(id, charges)
            raise
        except asyncio.CancelledError:
            self._lose(id, charges)
            raise
        retry_after_s, exceeded, levels = answer
        return Receipt(
            tuple([_level(*level) for level in levels]), tuple(exceeded), None if retry_after_s < 0 else retry_after_s
        )

    async def _reserve_parts(
        self, id: str, charges: Sequence[Charge], lease_s: float, parts: Sequence[Sequence[int]]
    ) -> Receipt:
        """Reserve of all subjects at once, and take back what was given where not all gave it."""
        deadline = asyncio.get_running_loop().time() + self._timeout_s
        held: Sequence[Charge] = charges
        try:
            asked = (self._reserve_part(id, [charges[place] for place in part], lease_s) for part in parts)
            outcomes = await asyncio.gather(*asked, return_exceptions=True)
            answers = [
                (part, outcome) for part, outcome in zip(parts, outcomes, strict=True) if isinstance(outcome, Receipt)
            ]
            held = [charges[place] for part, receipt in answers if not receipt.exceeded for place in part]
            for outcome in outcomes:
                if isinstance(outcome, BaseException):
                    raise outcome
            if len(held) < len(charges):
                async with asyncio.timeout_at(deadline):
                    await self.settle(id, held, [0] * len(held))
        except TimeoutError as error:
            self._lose(id, held)
            raise StoreUnavailable(UNAVAILABLE) from error
        except (StoreUnavailable, asyncio.CancelledError):
            self._lose(id, held)
            raise
        return _joined(charges, answers)

    def _lose(self, id: str, charges: Sequence[Charge]) -> None:
        """Cancel in the background what may be held, and that nobody will settle."""
        self._lost.append((id, charges))
        if self._canceller is None:
            self._canceller = asyncio.get_running_loop().create_task(self._cancel_lost())

    async def _cancel_lost(self) -> None:
        while self._lost:
            id, charges = self._lost.popleft()
            try:
                await self.settle(id, charges, [0] * len(charges))
            except StoreUnavailable:
                self._lost.append((id, charges))
                await asyncio.sleep(BREAK_S)
        self._canceller = None

    # --- scripts ---------------------------------------------------------------------------

    def _parts(self, counters: Sequence[Counter]) -> list[Sequence[int]]:
        """The places of the counters that one script can change."""
        if not self._clustered:
            return [range(len(counters))] if counters else []
        parts: dict[str, list[int]] = {}
        for place, counter in enumerate(counters):
            parts.setdefault(counter.subject, []).append(place)
        return list(parts.values())

    async def _run_parts(
        self, script: Script, counters: Sequence[Counter], id: str, value: float, rows: Sequence[tuple[Any, ...]]
    ) -> list[tuple[Sequence[int], Any]]:
        """The answers of a script to each part, once all have come. Raises `StoreUnavailable` if one failed."""
        parts = self._parts(counters)
        if len(parts) == 1:
            return [(parts[0], await self._run(script, counters, id, value, rows))]
        runs = (
            self._run(script, [counters[place] for place in part], id, value, [rows[place] for place in part])
            for part in parts
        )
        answers = await asyncio.gather(*runs, return_exceptions=True)
        for answer in answers:
            if isinstance(answer, BaseException):
                raise answer
        return list(zip(parts, answers, strict=True))

    async def _run(
        self, script: Script, counters: Sequence[Counter], id: str, value: float, rows: Sequence[tuple[Any, ...]]
    ) -> Any:
        """A script's answer: one round trip."""
        deadline = asyncio.get_running_loop().time() + self._timeout_s
        keys = [
            key
            for counter in counters
            for tail in (f"{{{counter.subject}}}:{counter.measure}",)
            for key in (f"llmguard:quota:{tail}", f"llmguard:held:{tail}")
        ]
        now = NEVER if self._clock is None else self._clock.time()
        arguments: tuple[str | bytes | int, ...] = (len(keys), *keys, self._encode((id, now, value, rows)))
        try:
            lane = self._lane(keys[0])
            try:
                return script.decode(await lane.execute(_packed("EVALSHA", script.sha, *arguments)))
            except NoScriptError:
                async with asyncio.timeout_at(deadline):
                    return script.decode(await lane.execute(_packed("EVAL", script.text, *arguments)))
            except ELSEWHERE:
                async with asyncio.timeout_at(deadline):
                    return script.decode(await self._client.execute("EVAL", script.text, *arguments))
        except FAILURES as error:
            raise StoreUnavailable(UNAVAILABLE) from error

    def _lane(self, key: str) -> Lane:
        server = self._client.server(key)
        lane = self._lanes.get(server)
        if lane is None:
            lane = self._lanes[server] = Lane(partial(self._client.connect, key), timeout_s=self._timeout_s)
        return lane


def _script(name: str, decode: Callable[[Any], Any]) -> Script:
    here = Path(__file__)
    constants = f"local RESOLUTION, RELEASE_S = {RESOLUTION}, {RELEASE_S}\n"
    text = constants + here.with_name("counter.lua").read_text() + here.with_name(f"{name}.lua").read_text()
    return Script(text.encode(), sha1(text.encode(), usedforsecurity=False).hexdigest(), decode)


def _packed(*command: str | bytes | int) -> bytes:
    packed: bytes = pack_command(command)  # type: ignore[arg-type]  # hiredis means a tuple of any length
    return packed


def _every(counter: Counter) -> float:
    return NEVER if counter.every_s is None else counter.every_s


def _level(spent: int, reserved: int, reset_s: float) -> Level:
    return Level(spent, reserved, None if reset_s < 0 else reset_s)


def _joined(charges: Sequence[Charge], answers: Sequence[tuple[Sequence[int], Receipt]]) -> Receipt:
    """One receipt of those of the parts; where one refused, what the others gave was taken back."""
    refused = [receipt for _, receipt in answers if receipt.exceeded]
    levels: dict[int, Level] = {}
    for part, receipt in answers:
        for place, level in zip(part, receipt.levels, strict=True):
            counter = charges[place].counter
            back = sum(charges[other].amount for other in part if charges[other].counter == counter)
            kept = not refused or receipt.exceeded
            levels[place] = level if kept else replace(level, reserved=level.reserved - back)
    waits = [receipt.retry_after_s for receipt in refused]
    return Receipt(
        tuple([levels[place] for place in range(len(charges))]),
        tuple(sorted(part[place] for part, receipt in answers for place in receipt.exceeded)),
        None if None in waits else max((wait for wait in waits if wait is not None), default=None),
    )
