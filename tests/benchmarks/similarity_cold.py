"""Opens a snapshot of an index, alone in its process: prints seconds up to the first answer, and the bytes it keeps.

`python -m tests.benchmarks.similarity_cold FILE KEY DIMENSIONS`, the key in hex.
"""

import gc
import sys
import time
from pathlib import Path

import numpy as np
import psutil

from similarity.index import Kind, restored
from similarity.snapshot import read
from similarity.vectors import unit


def main(file: str, key: str, dimensions: int) -> None:
    """The measurement."""
    process = psutil.Process()
    before, start = process.memory_info().rss, time.perf_counter()
    about, parts = read(Path(file), bytes.fromhex(key))
    index = restored(Kind(str(about["kind"])), parts)
    index.search(unit(np.ones((1, dimensions))), 10)
    seconds = time.perf_counter() - start
    del parts
    gc.collect()
    sys.stdout.write(f"{seconds} {process.memory_info().rss - before}\n")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
