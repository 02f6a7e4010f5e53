import numpy as np
import pytest

from watermark.keys.choosing import ChoiceError
from watermark.keys.picking import picking, picking_given
from watermark.keys.record import KeyRecord
from watermark.phrases import DIGEST


def record(id: str, scheme: str = "selection", revoked_at: float | None = None) -> KeyRecord:
    return KeyRecord(id=id, epoch=1, words=("00000000000000ff",), valid_from=0.0, revoked_at=revoked_at, tenant="t",
                     model="m", scheme=scheme, width=4, vocabulary=0,
                     tokenizer=DIGEST if scheme == "selection" else "x")  # fmt: skip


KEYS = (record("wm_1"), record("wm_2", "unigram"), record("wm_3", revoked_at=1.0), record("wm_4"))


def test_keys_for_selection_are_found_among_others():
    words, ids = picking(KEYS, ())
    assert (words.dtype, words.tolist(), ids) == (np.uint64, [255, 255], ("wm_1", "wm_4"))
    assert picking(KEYS, ("wm_4", "wm_4"))[1] == ("wm_4",)


@pytest.mark.parametrize(
    ("ids", "why"), [(("wm_2",), "unigram"), (("wm_3",), "revoked"), (("wm_9",), "no watermark key")]
)
def test_a_key_that_cannot_be_tested_is_said(ids: tuple[str, ...], why: str):
    with pytest.raises(ChoiceError, match=why):
        picking(KEYS, ids)


def test_without_a_key_there_is_nothing_to_test():
    with pytest.raises(ChoiceError, match="holds no key"):
        picking(KEYS[1:3], ())
    with pytest.raises(ChoiceError, match="is needed"):
        picking_given(())


def test_keys_in_hex_are_never_called_by_what_they_are():
    words, ids = picking_given(("2a", "FF"))
    assert (words.tolist(), ids) == ([42, 255], ("key-1", "key-2"))
    with pytest.raises(ChoiceError) as error:
        picking_given(("secret!",))
    assert "secret" not in str(error.value)
