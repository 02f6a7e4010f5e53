"""Proof of work: who solves it, who cannot."""

import base64
import hashlib
from random import Random

import msgspec
import pytest

from llmguard.quota.challenge import LIFETIME_S, MAX_NUMBER, Challenge, Challenges, solve
from tests.fakes.clock import FakeClock


def challenges(clock: FakeClock, key: bytes = b"k" * 32, seed: int = 1) -> Challenges:
    """Challenges with a known source of chance."""
    return Challenges(key, clock, Random(seed).randrange)


def unpacked(text: str) -> dict[str, object]:
    """The JSON in it."""
    found: dict[str, object] = msgspec.json.decode(base64.b64decode(text))
    return found


def packed(fields: dict[str, object]) -> bytes:
    """As a client sends it."""
    return base64.b64encode(msgspec.json.encode(fields))


def test_a_solution_is_verified_without_a_memory() -> None:
    clock = FakeClock()
    solved = solve(challenges(clock).issue("alice"))
    first = challenges(clock, seed=2).solution("alice", solved.encode())
    assert first is not None
    assert challenges(clock).solution("alice", solved.encode()) == first


def test_it_is_altchas_format() -> None:
    issued = msgspec.json.decode(base64.b64decode(challenges(FakeClock()).issue("alice")), type=Challenge)
    assert issued.algorithm == "SHA-256"
    number = unpacked(solve(challenges(FakeClock()).issue("alice")))["number"]
    assert hashlib.sha256(f"{issued.salt}{number}".encode()).hexdigest() == issued.challenge
    assert issued.maxnumber == MAX_NUMBER


def test_it_ends() -> None:
    clock = FakeClock()
    solved = solve(challenges(clock).issue("alice")).encode()
    clock.advance(LIFETIME_S - 1)
    assert challenges(clock).solution("alice", solved)
    clock.advance(1)
    assert challenges(clock).solution("alice", solved) is None


def test_it_is_for_one_key() -> None:
    solved = solve(challenges(FakeClock()).issue("alice")).encode()
    assert challenges(FakeClock()).solution("bob", solved) is None


def test_another_secret_is_another_guard() -> None:
    solved = solve(challenges(FakeClock(), b"x" * 32).issue("alice")).encode()
    assert challenges(FakeClock()).solution("alice", solved) is None


def test_what_is_changed_is_void() -> None:
    """The number moves into the salt and gives the same digest; the expiry is pushed; the work is left out."""
    fields = unpacked(solve(challenges(FakeClock()).issue("alice")))
    salt, number = str(fields["salt"]), str(fields["number"])
    forgeries: list[dict[str, object]] = [
        {**fields, "number": int(number) + 1},
        {**fields, "salt": salt + number[0], "number": int(number[1:])},
        {**fields, "salt": salt.replace("expires=", "expires=9")},
        {**fields, "signature": "0" * 64},
        {**fields, "algorithm": "MD5"},
        {**fields, "challenge": hashlib.sha256(b"0").hexdigest()},
    ]
    for forgery in forgeries:
        assert challenges(FakeClock()).solution("alice", packed(forgery)) is None
    assert challenges(FakeClock()).solution("alice", packed(fields))


@pytest.mark.parametrize("given", [b"", b"!", b"AAAA", base64.b64encode(b"{}"), b"\xff" * 50, b"A" * 10_000])
def test_what_is_none_is_none(given: bytes) -> None:
    assert challenges(FakeClock()).solution("alice", given) is None


def test_the_work_is_half_of_the_numbers_on_average() -> None:
    issue = challenges(FakeClock())
    numbers = [int(str(unpacked(solve(issue.issue("a")))["number"])) for _ in range(40)]
    assert MAX_NUMBER * 0.3 < sum(numbers) / 40 < MAX_NUMBER * 0.7
