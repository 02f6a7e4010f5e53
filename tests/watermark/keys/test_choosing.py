from pathlib import Path

import msgspec
import numpy as np
import pytest

from watermark.keys.choosing import ChoiceError, Wanted, chosen, given, held
from watermark.keys.issuing import issue, revoke, rotate
from watermark.keys.record import KeyRecord, Order, bundle
from watermark.keys.registry import FileRegistry

MASTER = bytes(range(32))
DIGEST = "ab" * 32
ORDER = Order(tenant="acme", model="smollm2", scheme="gumbel-vllm", width=4, vocabulary=100, tokenizer=DIGEST)
ANY = Wanted(None, None, None)


def yes(record: KeyRecord) -> bool:
    return True


@pytest.fixture
def registry(tmp_path: Path) -> FileRegistry:
    found = FileRegistry(tmp_path / "keys.json")
    for change in ({}, {"tenant": "other"}, {"scheme": "unigram", "width": 0}, {"scheme": "synthid", "columns": 30}):
        issue(found, MASTER, msgspec.structs.replace(ORDER, **change), accept=yes, now=1.0)
    return found


def test_keys_in_hex_are_called_by_their_place():
    (panel,) = given(["2a", "FF"], ANY, default="gumbel-vllm", tokens=100)
    assert (panel.ids, panel.keys.tolist(), panel.scheme.name) == (("key-1", "key-2"), [[42], [255]], "gumbel-vllm")
    (panel,) = given(["1:2"], Wanted("gumbel-sglang-dual", 2, None), default="gumbel-vllm", tokens=100)
    assert (panel.keys.tolist(), panel.scheme.width) == ([[1, 2]], 2)
    (panel,) = given(["1"], Wanted("unigram", None, 128), default="gumbel-vllm", tokens=100)
    assert panel.scheme.vocabulary == 128


@pytest.mark.parametrize(
    ("keys", "wanted"),
    [
        (["2a", "0x2A"], ANY),
        (["xyz"], ANY),
        (["1:2:3", "1:2"], Wanted("synthid", None, None)),
        (["1"], Wanted("unigram", None, 99)),
        (["1"], Wanted("kgw-selfhash", 99, None)),
    ],
)
def test_keys_in_hex_that_cannot_be_are_refused(keys: list[str], wanted: Wanted):
    with pytest.raises(ChoiceError):
        given(keys, wanted, default="gumbel-vllm", tokens=100)


def test_a_registrys_keys_are_grouped_by_scheme(registry: FileRegistry):
    records = registry.records()
    panels, left_out = chosen(records, [], ANY, digest=DIGEST, tokens=100)
    assert [(panel.scheme.name, len(panel.ids)) for panel in panels] == [
        ("gumbel-vllm", 2),
        ("unigram", 1),
        ("synthid", 1),
    ]
    np.testing.assert_array_equal(panels[0].keys[1], records[1].key)
    assert left_out == ""


def test_revoked_keys_are_left_out_and_rotated_ones_go_on(registry: FileRegistry):
    first, second = registry.records()[:2]
    rotate(registry, MASTER, first.id, accept=yes, now=2.0)
    revoke(registry, second.id, now=2.0)
    panels, left_out = chosen(registry.records(), [], ANY, digest=DIGEST, tokens=100)
    ids = {id for panel in panels for id in panel.ids}
    assert first.id in ids
    assert second.id not in ids
    assert left_out.startswith("1 of 5 keys are left out: revoked")
    with pytest.raises(ChoiceError, match="revoked"):
        chosen(registry.records(), [first.id, second.id], ANY, digest=DIGEST, tokens=100)


@pytest.mark.parametrize(
    ("ids", "digest", "tokens", "wanted", "said"),
    [
        (["wm_0"], DIGEST, 100, ANY, "no watermark key has the id wm_0"),
        ([], "cd" * 32, 100, ANY, "another tokenizer"),
        ([], DIGEST, 101, ANY, "the tokenizer has 101 tokens, more than the vocabulary of 100"),
        ([], DIGEST, 100, Wanted("kgw", None, None), "the key is for synthid"),
        ([], DIGEST, 100, Wanted(None, 7, None), "context of 4 tokens"),
        ([], DIGEST, 100, Wanted(None, None, 128), "vocabulary of 100"),
    ],
)
def test_what_leaves_no_key_is_said(registry: FileRegistry, ids, digest, tokens, wanted, said):
    with pytest.raises(ChoiceError, match=said):
        chosen(registry.records(), ids, wanted, digest=digest, tokens=tokens)


def test_a_choice_narrows(registry: FileRegistry):
    panels, left_out = chosen(registry.records(), [], Wanted("unigram", None, None), digest=DIGEST, tokens=100)
    assert [panel.scheme.name for panel in panels] == ["unigram"]
    assert left_out.startswith("3 of 4")


def test_a_bundle_is_read_as_a_registry_is(registry: FileRegistry, tmp_path: Path):
    (tmp_path / "bundle.json").write_bytes(msgspec.json.encode(bundle(registry.records())))
    ours, theirs = held(tmp_path / "keys.json"), held(tmp_path / "bundle.json")
    assert [key.id for key in ours] == [key.id for key in theirs]
    one, other = (chosen(keys, [], ANY, digest=DIGEST, tokens=100)[0] for keys in (ours, theirs))
    assert [panel.ids for panel in one] == [panel.ids for panel in other]


@pytest.mark.parametrize("content", [b"", b"{}{}", b"\xff\0", b'{"keys": [{"id": 1}]}'])
def test_what_is_no_registry_is_said(tmp_path: Path, content: bytes):
    (tmp_path / "keys.json").write_bytes(content)
    with pytest.raises(ChoiceError, match="no key registry"):
        held(tmp_path / "keys.json")
    with pytest.raises(ChoiceError, match="there is no key registry"):
        held(tmp_path)


def test_an_empty_registry_is_said(tmp_path: Path):
    (tmp_path / "keys.json").write_text('{"keys": []}')
    with pytest.raises(ChoiceError, match="holds no key"):
        chosen(held(tmp_path / "keys.json"), [], ANY, digest=DIGEST, tokens=1)
