"""`detect` over text as long as one likes on standard input, alone in its process: prints the seconds and peak KiB.

Its verdicts go to standard output as ever; what is measured goes to standard error.
"""

import io
import sys
from time import perf_counter

import numpy as np

from tests.benchmarks.watermark_stream import peak_kib
from watermark.cli.detect import run
from watermark.cli.options import Detecting

WORDS = 20_000
LINE = 12


class Text(io.RawIOBase):
    """`size` bytes of words in lines, made as they are read: what repeats, repeats as in nobody's text."""

    def __init__(self, size: int) -> None:
        self._left = size
        self._generator = np.random.default_rng(3)
        letters = self._generator.integers(97, 123, (WORDS, 7), np.uint8)
        self._words = [row.tobytes()[: 2 + place % 6] for place, row in enumerate(letters)]

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Some lines more."""
        chosen = self._generator.integers(0, WORDS, (max(1, len(buffer) // 8 // LINE), LINE))
        made = b"\n".join(b" ".join(self._words[place] for place in line) for line in chosen.tolist()) + b"\n"
        count = min(len(made), len(buffer), self._left)
        buffer[:count] = made[:count]
        self._left -= count
        return count


def main() -> int:
    """The measurement, of a tokenizer.json and as many bytes as the command line says."""
    options = Detecting(
        paths=("-",), tokenizer=sys.argv[1], scheme=None, keys=("2a",), registry=None, vllm_config=None, width=None,
        vocabulary=None, fpr=1e-6, reference=None, field="text", as_json=True, html=None,
    )  # fmt: skip
    start = perf_counter()
    status = run(options, stdin=io.BufferedReader(Text(int(sys.argv[2])), 1 << 16))
    print(perf_counter() - start, peak_kib(), file=sys.stderr)
    return status


if __name__ == "__main__":
    sys.exit(main())
