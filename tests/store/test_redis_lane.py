"""Commands in one turn share a write; answers find their askers; a server that failed is left alone."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import ConnectionError, ResponseError

from llmguard.store.redis_lane import BREAK_S, CONNECT_S, Lane, LaneBroken

pytestmark = pytest.mark.anyio

TIMEOUT_S = 0.5


class Wire:
    """A connection that keeps what was written and answers what it is told to; an error is raised."""

    def __init__(self) -> None:
        self.writes: list[list[bytes]] = []
        self.answers: asyncio.Queue[Any] = asyncio.Queue()
        self.closed = False

    async def send_packed_command(self, commands: list[bytes], check_health: bool) -> None:
        assert not check_health
        self.writes.append(list(commands))

    async def read_response(self, disable_decoding: bool) -> Any:
        assert disable_decoding
        answer = await self.answers.get()
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def disconnect(self, nowait: bool) -> None:
        self.closed = True


class Server:
    """What a lane connects to."""

    def __init__(self) -> None:
        self.wires: list[Wire] = []
        self.refuses = False
        self.open = asyncio.Event()
        self.open.set()

    async def connect(self) -> AbstractConnection:
        if self.refuses:
            raise ConnectionRefusedError
        await self.open.wait()
        self.wires.append(Wire())
        return self.wires[-1]  # type: ignore[return-value]  # it is one for a lane


@pytest.fixture
def server() -> Server:
    """A server."""
    return Server()


class Hand:
    """The event loop's time, moved by hand."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def time(self) -> float:
        return self.now

    async def advance(self, s: float) -> None:
        self.now += s
        await turns()


@pytest.fixture
async def hand(anyio_backend: str, monkeypatch: pytest.MonkeyPatch) -> Hand:
    """The loop's time, which stands still."""
    hand = Hand()
    monkeypatch.setattr(asyncio.get_running_loop(), "time", hand.time)
    return hand


@pytest.fixture
async def lane(server: Server, hand: Hand) -> AsyncIterator[Lane]:
    """A lane to it."""
    lane = Lane(server.connect, timeout_s=TIMEOUT_S)
    yield lane
    await lane.close()
    assert all(wire.closed for wire in server.wires)


async def turns(count: int = 5) -> None:
    """Let the event loop go on."""
    for _ in range(count):
        await asyncio.sleep(0)


async def test_commands_of_one_turn_leave_in_one_write_and_answers_come_back_in_order(
    lane: Lane, server: Server
) -> None:
    asked = [lane.execute(b"%d" % n) for n in range(3)]
    await turns()
    assert server.wires[0].writes == [[b"0", b"1", b"2"]]
    asked += [lane.execute(b"3"), lane.execute(b"4")]
    await turns()
    assert server.wires[0].writes == [[b"0", b"1", b"2"], [b"3", b"4"]]
    for n in range(5):
        server.wires[0].answers.put_nowait(n)
    assert await asyncio.gather(*asked) == [0, 1, 2, 3, 4]
    assert len(server.wires) == 1


async def test_an_answer_that_is_an_error_is_its_askers_alone(lane: Lane, server: Server) -> None:
    asked = [lane.execute(b"a"), lane.execute(b"b")]
    await turns()
    server.wires[0].answers.put_nowait(ResponseError("no"))
    server.wires[0].answers.put_nowait(b"yes")
    with pytest.raises(ResponseError, match="no"):
        await asked[0]
    assert await asked[1] == b"yes"


async def test_an_asker_that_left_does_not_shift_the_answers(lane: Lane, server: Server) -> None:
    asked = [lane.execute(b"a"), lane.execute(b"b")]
    await turns()
    asked[0].cancel()
    server.wires[0].answers.put_nowait(b"for a")
    server.wires[0].answers.put_nowait(b"for b")
    assert await asked[1] == b"for b"


@pytest.mark.parametrize("error", [ConnectionError("gone"), ResponseError("-READONLY You can't write")])
async def test_all_under_way_fail_with_the_connection_then_one_tries_again(
    lane: Lane, server: Server, hand: Hand, error: Exception
) -> None:
    asked = [lane.execute(b"a"), lane.execute(b"b")]
    await turns()
    server.wires[0].answers.put_nowait(error)
    for outcome in await asyncio.gather(*asked, return_exceptions=True):
        assert isinstance(outcome, ConnectionError)
    await hand.advance(0.9 * BREAK_S)
    with pytest.raises(LaneBroken):
        await lane.execute(b"c")
    await hand.advance(0.2 * BREAK_S)
    tried = lane.execute(b"d")
    with pytest.raises(LaneBroken):
        await lane.execute(b"e")
    await turns()
    assert server.wires[1].writes == [[b"d"]]
    server.wires[1].answers.put_nowait(b"yes")
    assert await tried == b"yes"
    both = [lane.execute(b"f"), lane.execute(b"g")]
    await turns()
    assert server.wires[1].writes == [[b"d"], [b"f", b"g"]]
    server.wires[1].answers.put_nowait(1)
    server.wires[1].answers.put_nowait(2)
    assert await asyncio.gather(*both) == [1, 2]


async def test_an_answer_that_does_not_come_fails_in_time_and_ends_the_connection(
    lane: Lane, server: Server, hand: Hand
) -> None:
    asked = [lane.execute(b"a"), lane.execute(b"b")]
    await hand.advance(0.9 * TIMEOUT_S)
    assert not any(future.done() for future in asked)
    await hand.advance(0.2 * TIMEOUT_S)
    assert all(isinstance(future.exception(), TimeoutError) for future in asked)
    await turns()
    assert server.wires[0].closed


async def test_each_command_has_its_own_time(lane: Lane, server: Server, hand: Hand) -> None:
    first = lane.execute(b"a")
    await hand.advance(0.6 * TIMEOUT_S)
    second = lane.execute(b"b")
    server.wires[0].answers.put_nowait(b"first")
    assert await first == b"first"
    await hand.advance(0.6 * TIMEOUT_S)
    assert not second.done()
    await hand.advance(0.6 * TIMEOUT_S)
    assert isinstance(second.exception(), TimeoutError)


async def test_a_server_that_refuses_connections_fails_all_who_wait(lane: Lane, server: Server) -> None:
    server.refuses = True
    asked = [lane.execute(b"a"), lane.execute(b"b")]
    for outcome in await asyncio.gather(*asked, return_exceptions=True):
        assert isinstance(outcome, ConnectionRefusedError)


async def test_a_connection_that_takes_longer_than_a_command_is_used_once_it_stands(
    lane: Lane, server: Server, hand: Hand
) -> None:
    server.open.clear()
    early = lane.execute(b"a")
    await hand.advance(1.1 * TIMEOUT_S)
    assert isinstance(early.exception(), TimeoutError)
    await hand.advance(BREAK_S)
    tried = lane.execute(b"b")
    server.open.set()
    await turns()
    assert [wire.writes for wire in server.wires] == [[[b"b"]]]
    server.wires[0].answers.put_nowait(b"yes")
    assert await tried == b"yes"


async def test_a_connection_that_never_stands_is_given_up_and_tried_again(
    lane: Lane, server: Server, hand: Hand
) -> None:
    server.open.clear()
    early = lane.execute(b"a")
    await hand.advance(CONNECT_S + 0.1)
    assert isinstance(early.exception(), TimeoutError)
    server.open.set()
    await hand.advance(BREAK_S)
    tried = lane.execute(b"b")
    await turns()
    server.wires[0].answers.put_nowait(b"yes")
    assert await tried == b"yes"


async def test_a_connection_that_ends_unused_is_nobodys_failure(lane: Lane, server: Server) -> None:
    asked = lane.execute(b"a")
    await turns()
    server.wires[0].answers.put_nowait(b"yes")
    assert await asked == b"yes"
    server.wires[0].answers.put_nowait(ConnectionError("gone"))
    await turns()
    asked = lane.execute(b"b")
    await turns()
    server.wires[1].answers.put_nowait(b"again")
    assert await asked == b"again"


async def test_an_answer_that_nobody_asked_for_ends_the_connection(lane: Lane, server: Server) -> None:
    asked = lane.execute(b"a")
    await turns()
    server.wires[0].answers.put_nowait(b"yes")
    server.wires[0].answers.put_nowait(b"whose?")
    assert await asked == b"yes"
    await turns()
    assert server.wires[0].closed


async def test_what_is_under_way_at_the_end_fails(server: Server) -> None:
    lane = Lane(server.connect, timeout_s=TIMEOUT_S)
    asked = lane.execute(b"a")
    await turns()
    await lane.close()
    with pytest.raises(ConnectionError):
        await asked
    assert server.wires[0].closed
