"""How much a temperature above the floor makes up for candidates that are cut away.

Two answers to one prompt agree in a token with the sum of its squared probabilities. A cut (`top_p`, `typical_p`,
`min_p`, a small `top_k`) raises that sum as a lower temperature does, so every cut is priced in degrees of temperature,
and a request passes where its temperature pays for all of them above the floor. The prices are upper bounds fitted to
the embedded model and to floors of 0.1 to 0.3: there no request that passes, over a grid of the fields, agrees more
often than an uncut one at the floor, by more than 0.003 (tests/attacks/test_floor.py). Above 0.3 they are estimates.
"""

from math import ceil
from typing import Final

from llmguard.decoding.breach import Breach
from llmguard.decoding.engines import Defaults
from llmguard.settings_policies import Decoding
from llmguard.wire.model_request import ModelRequest

MASS: Final = 1.1
"""Degrees for all of the mass that `top_p` and `typical_p` cut away; a `top_k` before them makes it MASS + 2/k."""
RATIO: Final = 1.5
"""Degrees for a `min_p` of 1."""
FEW: Final = 10
"""From here on a `top_k` alone hardly changes the sum; below it costs COUNT/k."""
COUNT: Final = 0.3
WARMEST: Final = 1.0
"""Engines differ in what comes first, the cut or the temperature. After a cut more heat brings nothing back."""
BEFORE: Final = 0.2
"""Of the price of `top_p`, `typical_p` and `min_p`, what is free where they cut before the temperature bends."""
ROUNDING: Final = 1e-9
STEEP: Final = 0.3
"""Above such a floor the prices of `min_p` and `top_k` rise with its third power."""
LEAST_CANDIDATES: Final = 1.5
"""Two of two, or of three: candidates are never quite as likely."""


def narrowed(request: ModelRequest, defaults: Defaults, floors: Decoding, temperature: float) -> Breach | None:
    """What the cuts of a request lack in temperature, each judged by what it is once it is lifted to its own floor.

    `temperature` is the one that holds, lifted too. Whatever it is, more than one candidate must be left where all are
    as likely: a share of m of k leaves one where k·m < LEAST_CANDIDATES.
    """
    top_p = defaults.top_p if request.top_p is None else request.top_p
    top_k = defaults.top_k if request.top_k is None else request.top_k
    min_p = defaults.min_p if request.min_p is None else request.min_p
    typical_p = 1.0 if request.typical_p is None else request.typical_p
    if top_p == 1 and min_p == 0 and typical_p == 1 and not 0 < top_k < FEW:
        return None
    floor = floors.min_temperature
    share = max(top_p, floors.min_top_p) * max(typical_p, floors.min_top_p)
    top_k = max(top_k, floors.min_top_k) if top_k > 0 else 0
    steep = max(1.0, floor / STEEP) ** 3
    mass = (1 - share) * (MASS + (2 / top_k if top_k else 0))
    ratio = steep * RATIO * min_p
    few = steep * COUNT / top_k if 0 < top_k < FEW else 0.0
    free = BEFORE if defaults.cuts_first and request.samplers is None else 0.0
    needed = floor + few + max(0.0, mass + ratio - free)
    held = min(temperature - (request.dynatemp_range or 0), WARMEST) + ROUNDING
    payable = floor + few + mass + ratio <= WARMEST + ROUNDING
    alone = bool(top_k) and share < 1 and share * top_k < LEAST_CANDIDATES
    # A floor of zero has no price.
    if not alone and (not floor or (payable and needed <= held)):
        return None
    costs = {"top_p" if top_p <= typical_p else "typical_p": mass, "min_p": ratio, "top_k": few}
    cuts = [name for name, cost in sorted(costs.items(), key=lambda cut: -cut[1]) if cost]
    asked = [name for name in cuts if getattr(request, name) is not None]
    reason = "leaves too few candidates at any temperature"
    if payable and not alone:
        at = f"{temperature:g} and needs one of at least {ceil(needed * 100) / 100:g}"
        reason = f"leaves too few candidates at a temperature of {at}"
    lifted: dict[str, float | None] = {}
    if mass:
        lifted = {"top_p": 1.0} if request.typical_p is None else {"top_p": 1.0, "typical_p": None}
    if ratio:
        lifted["min_p"] = 0.0 if defaults.min_p else None
    if few:
        lifted["top_k"] = 0 if defaults.top_k else None
    return Breach((asked or cuts)[0], reason, lifted, bool(asked))
