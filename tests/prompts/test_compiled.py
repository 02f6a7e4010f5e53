"""Machine code is made whether or not there is a place to keep it."""

import numpy as np
from numba import types

from prompts.calibration import channels
from prompts.compiled import READ_16, compiled
from prompts.evidence import Channels
from prompts.scorer import Scorer
from prompts.window import Window
from tests.prompts.vocabulary import tokens as vocabulary_tokens


def test_what_cannot_be_kept_is_compiled_all_the_same() -> None:
    """A function of no file stands for a folder that nothing can be written to: numba finds no place for either."""
    made: dict[str, object] = {}
    exec("def last(ids):\n    return ids[len(ids) - 1]", made)
    last = compiled(types.int64(READ_16))(made["last"])  # type: ignore[arg-type, var-annotated]
    assert last(np.arange(7, dtype=np.uint16)) == 6
    assert last(np.frombuffer(b"\x01\x00\x02\x00", np.uint16)) == 2


def test_every_number_of_two_bytes_lies_within_the_tables() -> None:
    """Ids that come from elsewhere than the tokenizer are looked up in machine code all the same."""
    tokens = vocabulary_tokens()
    scorer = Scorer(tokens, Channels(channels()))
    window = Window(10, scorer.hashes)
    for first in range(8):
        said = scorer.said(np.array([65_535, 65_535 - first, *(65_535,) * 30], np.uint16))
        assert said is not None
        scorer.take(window, said)
    assert len(tokens.bits) == len(tokens.begins) == 1 << 16
