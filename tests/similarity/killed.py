"""A process that fills, thins and compacts a library until it is killed, saying what it was told is done.

`python -m tests.similarity.killed DIRECTORY SEED`; a line a step: `+ store file chunks` or `- store file`.
"""

import random
import sys
from pathlib import Path

from tests.similarity.whole import Whole


def main(directory: str, seed: str) -> None:
    """Goes on for ever."""
    source = random.Random(int(seed))
    whole = Whole(Path(directory), largest_flat=40, name=seed + "-")
    store = whole.stores.create("acme").id
    number = whole.stores.open("acme", store, "p").number
    held: list[str] = []
    while True:
        step = source.random()
        if step < 0.6 or not held:
            chunks = source.randint(1, 8)
            text = " ".join(f"w{at}" for at in range(100 * chunks))
            entry = whole.put("acme", store, text)
            held.append(entry.file)
            say(f"+ {store} {entry.file} {chunks}")
        elif step < 0.8:
            file = held.pop(source.randrange(len(held)))
            say(f"~ {store} {file} 0")
            whole.catalogue.remove(number, whole.entries.detach("acme", store, file))
            say(f"- {store} {file} 0")
        else:
            whole.catalogue.maintain(number)


def say(line: str) -> None:
    """At once, whole."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
