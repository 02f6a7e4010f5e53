"""Machine code is made whether or not there is a place to keep it."""

import numpy as np
from numba import types

from prompts.compiled import READ_16, compiled


def test_what_cannot_be_kept_is_compiled_all_the_same() -> None:
    """A function of no file stands for a folder that nothing can be written to: numba finds no place for either."""
    made: dict[str, object] = {}
    exec("def last(ids):\n    return ids[len(ids) - 1]", made)
    last = compiled(types.int64(READ_16))(made["last"])  # type: ignore[arg-type, var-annotated]
    assert last(np.arange(7, dtype=np.uint16)) == 6
    assert last(np.frombuffer(b"\x01\x00\x02\x00", np.uint16)) == 2
