"""Scores a stream of random documents, alone in its process: prints what was scored, the seconds and the peak KiB."""

import sys
from collections.abc import Iterator
from pathlib import Path
from time import perf_counter

import numpy as np

from watermark.detector import Detector
from watermark.schemes.gumbel import Vllm


def documents(tokens: int) -> Iterator[np.ndarray]:
    """Documents of 400 tokens, made as they are read."""
    generator = np.random.default_rng(2)
    for _ in range(tokens // 400):
        yield generator.integers(0, 49_152, 400)


def peak_kib() -> int:
    """The most that was resident: of this program alone, where getrusage counts what its parent held before it."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


def main() -> None:
    """The measurement, of as many tokens as the command line says."""
    start = perf_counter()
    found = Detector(Vllm(), np.array([[7]], np.uint64)).stream(documents(int(sys.argv[1])))
    print(found.scored, perf_counter() - start, peak_kib())


if __name__ == "__main__":
    main()
