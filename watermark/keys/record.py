"""What is written down of a key: all that a mark depends on, pinned."""

import msgspec
import numpy as np

from watermark.scheme import Keys


class Order(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a key is wanted for. `tokenizer` is the SHA-256 of the tokenizer's file, in hex.

    A server that marks for an engine may know neither that nor the vocabulary: "" and 0 pin nothing.
    """

    tenant: str
    model: str
    scheme: str
    width: int
    vocabulary: int
    tokenizer: str
    columns: int = 1


class KeyRecord(Order, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """An issued key. Times are seconds since 1970; `words` are 16 hex digits each and secret."""

    id: str
    epoch: int
    words: tuple[str, ...]
    valid_from: float
    valid_to: float | None = None
    revoked_at: float | None = None

    @property
    def key(self) -> Keys:
        """The key [columns]."""
        return np.array([int(word, 16) for word in self.words], np.uint64)

    def marks(self, now: float) -> bool:
        """Whether text may be marked with it now."""
        ended = self.valid_to is not None and now >= self.valid_to
        return self.valid_from <= now and not ended and self.revoked_at is None


class VerifierKey(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What verifying one key needs, and no more: not whose it is, nor which model it is for."""

    id: str
    scheme: str
    width: int
    vocabulary: int
    tokenizer: str
    words: tuple[str, ...]
    valid_from: float
    valid_to: float | None = None


class Bundle(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is handed to a verifier. Who holds it can detect these keys' marks, and forge them."""

    keys: tuple[VerifierKey, ...]


def bundle(records: tuple[KeyRecord, ...]) -> Bundle:
    """The bundle of these records; revoked keys, whose evidence is disowned, are left out."""
    fields = VerifierKey.__struct_fields__
    return Bundle(
        keys=tuple(
            VerifierKey(**{field: getattr(record, field) for field in fields})
            for record in records
            if record.revoked_at is None
        )
    )
