"""What a flagged principal meets: a ladder of responses, climbed by evidence and left by time. Pure.

A principal is flagged when its evidence reaches 1/alpha. From then on its *heat*, in decades (powers of ten), is how
far the evidence is beyond that; it follows the evidence up and down and cools by itself, a decade in COOL_S. The first
response of the policy's `respond` is met from heat 0 on, each further one a decade later, so that the chance of an
honest principal ever to meet the n-th is at most alpha·10^(1-n). Responses add up: who is challenged is throttled too.
What has cooled below 0 is over, and its evidence begins anew.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from msgspec.structs import replace

from llmguard.risk.standing import Standing, State
from llmguard.settings_policies import Prompts, Response

Ladder: TypeAlias = Sequence[Response]

COOL_S: Final = 1800.0
"""The time in which a principal cools by a decade when it is flagged for the first time; twice that for the second …"""
SLOWEST: Final = 5
"""… and so on, up to 2^SLOWEST times."""
MOST_DOUBLINGS: Final = 10
"""Each half decade doubles what a throttled request spends, up to 2^MOST_DOUBLINGS."""
HARDEST: Final = 3
"""Each half decade doubles the work of a challenge, up to 2^HARDEST times."""
COLD: Final = -1.0
PINNED_S: Final = 3600.0
"""When to come back, for who is held blocked for good: an operator may think again."""

STATES: Final[dict[Response, State]] = {
    "throttle": "throttled",
    "challenge": "challenged",
    "degrade": "degraded",
    "block": "blocked",
}
RESPONSES: Final[dict[State, Response]] = {state: response for response, state in STATES.items()}


@dataclass(frozen=True, slots=True)
class Reply:
    """What is to be done with a request.

    `weight` is what its spending is multiplied by, `difficulty` the doublings of the work that it must show (None for
    no work), `left_s` the seconds that a block lasts from now (None for no block).
    """

    state: State = "normal"
    weight: int = 1
    difficulty: int | None = None
    degrade: bool = False
    left_s: float | None = None


CALM: Final = Reply()


@dataclass(frozen=True, slots=True)
class Weighed:
    """A principal's evidence after a prompt: whether it flags; in decades, beyond the alarm and since the last one."""

    flagged: bool
    beyond: float
    change: float


def threshold(prompts: Prompts) -> float:
    """log10 of the evidence that flags under these settings."""
    return math.log10(1 / prompts.alpha)


def cooling_s(strikes: int) -> float:
    """How long a decade takes."""
    return float(COOL_S * 2 ** min(max(strikes - 1, 0), SLOWEST))


def heat_at(standing: Standing, now: float) -> float:
    """The heat that is left; COLD for none."""
    if standing.heat < 0:
        return COLD
    left = standing.heat - max(0.0, now - standing.at) / cooling_s(standing.strikes)
    return left if left >= 0 else COLD


def pinned(standing: Standing, now: float) -> State | None:
    """The state that an operator holds it in now."""
    return standing.pinned if standing.pinned_until is None or now < standing.pinned_until else None


def reply(standing: Standing, ladder: Ladder, now: float) -> Reply:
    """What a principal of this standing meets now."""
    held = pinned(standing, now)
    heat = heat_at(standing, now)
    if held is not None:
        return _held(standing, held, ladder, now)
    met = ladder[: 1 + int(heat)] if heat >= 0 else ()
    return _reply(met, ladder, heat, standing.strikes)


def after(standing: Standing, seen: Weighed, ladder: Ladder, now: float) -> Standing:
    """The standing after a prompt with this evidence.

    Who comes to be blocked is for a decade's cooling at least; the heat is bounded, and so is what a long attack
    leaves behind.
    """
    before = heat_at(standing, now)
    if not seen.flagged:
        return standing
    top = len(ladder) + 1.0
    fresh = before < 0
    heat = min(max(seen.beyond, 0.0) if fresh else max(before + seen.change, 0.0), top)
    if "block" in ladder:
        rung = float(ladder.index("block"))
        if heat >= rung > before or heat >= rung == 0.0 > before:
            heat = max(heat, rung + 1.0)
    if not fresh and heat == before:
        return standing
    return replace(standing, heat=heat, at=now, strikes=standing.strikes + fresh)


def cooled_at(standing: Standing) -> float:
    """When nothing of the heat is left, in Unix seconds."""
    return standing.at + max(standing.heat, 0.0) * cooling_s(standing.strikes)


def _held(standing: Standing, state: State, ladder: Ladder, now: float) -> Reply:
    """What a pinned principal meets: as one that has just come to that state."""
    if state == "normal":
        return CALM
    response = RESPONSES[state]
    place = ladder.index(response) if response in ladder else 0
    met = ladder[: place + 1] if response in ladder else (response,)
    found = _reply(met, met, float(place), standing.strikes)
    if response != "block":
        return found
    until = standing.pinned_until
    return Reply(found.state, found.weight, found.difficulty, found.degrade, PINNED_S if until is None else until - now)


def _reply(met: Ladder, ladder: Ladder, heat: float, strikes: int) -> Reply:
    if not met:
        return CALM
    weight, difficulty, left_s = 1, None, None
    if "throttle" in met:
        weight = int(2 ** min(1 + int(2 * (heat - ladder.index("throttle"))), MOST_DOUBLINGS))
    if "challenge" in met:
        difficulty = min(max(0, int(2 * (heat - ladder.index("challenge")))), HARDEST)
    if "block" in met:
        left_s = max(1.0, (heat - ladder.index("block")) * cooling_s(strikes))
    return Reply(STATES[met[-1]], weight, difficulty, "degrade" in met, left_s)
