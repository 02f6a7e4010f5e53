"""What every test may use."""

import gc

import pytest


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """The event loop that async tests run in."""
    return "asyncio"


@pytest.fixture(scope="module", autouse=True)
def short_collections() -> None:
    """Spares the garbage collector what lives before a file's tests begin.

    The suite and all that it imports are two million objects: to look through them stops a process for one to two
    seconds, which is time that a test of deadlines does not have.
    """
    gc.collect()
    gc.freeze()
