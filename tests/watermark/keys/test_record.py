import msgspec

from watermark.keys.record import Bundle, KeyRecord, bundle

RECORD = KeyRecord(
    tenant="acme",
    model="smollm2",
    scheme="gumbel-vllm",
    width=4,
    vocabulary=49152,
    tokenizer="ab" * 32,
    id="wm_1",
    epoch=7,
    words=("00000000000000ff",),
    valid_from=1.0,
)


def test_a_bundle_tells_neither_tenant_nor_model_nor_epoch():
    text = msgspec.json.encode(bundle((RECORD,))).decode()
    assert not {"acme", "smollm2", "epoch", "revoked"} & set(text.replace('"', " ").split())
    assert msgspec.json.decode(text, type=Bundle).keys[0].words == RECORD.words


def test_a_bundle_leaves_revoked_keys_out():
    assert bundle((msgspec.structs.replace(RECORD, revoked_at=3.0),)).keys == ()


def test_words_are_the_key():
    assert RECORD.key.tolist() == [255]
