"""Going back to the seed hits; going on from the last version does not."""

import pytest

from prompts.signals.chains import hits
from prompts.window import Chain, Joined

CHAIN = Chain(0, 5, frozenset(), frozenset())


@pytest.mark.parametrize(
    ("joined", "expected"),
    [
        (Joined(CHAIN, 1, 1.0, 1.0, 0), (False, False)),
        (Joined(CHAIN, 2, 0.9, 0.9, 0), (False, False)),
        (Joined(CHAIN, 3, 0.9, 0.8, 0), (True, False)),
        (Joined(CHAIN, 3, 0.8, 0.8, 2), (True, True)),
        (Joined(CHAIN, 3, 0.7, 0.9, 1), (False, False)),
        (Joined(CHAIN, 1, 1.0, 1.0, 5), (False, True)),
    ],
)
def test_hits(joined: Joined, expected: tuple[bool, bool]) -> None:
    assert hits(joined) == expected
