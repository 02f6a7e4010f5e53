"""What is left for the garbage collector."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def uncollected() -> Iterator[None]:
    """The collector does not run, so that whatever is freed is free of cycles."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def alive(kind: type) -> int:
    """How many objects of a class there are that the collector knows of."""
    return sum(type(found) is kind for found in gc.get_objects())
