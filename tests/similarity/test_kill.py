"""kill -9 at random points while writing and compacting: nothing acknowledged is lost, no half file is there."""

import random
from pathlib import Path

import pytest

from tests.similarity.kill import killed, left

POINTS = 20
"""Of them, 200 in tests/benchmarks/similarity.py."""


@pytest.mark.parametrize("seed", range(4))
def test_a_killed_process_leaves_what_it_promised(tmp_path: Path, seed: int) -> None:
    """Kill after kill over the same directory."""
    source, lines = random.Random(seed), list[str]()
    for turn in range(POINTS // 4):
        lines += killed(tmp_path / "library", 10 * seed + turn, source)
        found = left(tmp_path / "library", lines)
        assert (found.lost, found.halves, found.wrong_indexes) == ((), (), 0)
    assert sum(line.startswith("+") for line in lines) >= POINTS // 4


def test_a_loss_would_be_seen(tmp_path: Path) -> None:
    lines = killed(tmp_path / "library", 99, random.Random(1))
    file = next(line.split()[2] for line in lines if line.startswith("+"))
    found = left(tmp_path / "library", [*lines, "+ vs_99-0 file-99-12345 3", f"+ vs_99-0 {file} 77"])
    assert set(found.lost) == {"file-99-12345", file}
