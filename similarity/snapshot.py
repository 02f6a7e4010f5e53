"""Arrays in one file: encrypted, verified to the last byte, replaced whole or not at all.

Layout: a magic word, a random file key's salt, then records of AES-256-GCM: the first holds
the header (JSON: what the caller says of the file, and each array's name, type and shape),
the others the arrays' bytes, end to end. A record's nonce is its number and whether it is
the last, so that records cannot be changed, swapped, dropped, repeated or cut off unnoticed
(the STREAM construction: Hoang, Reyhanitabar, Rogaway, Vizár, CRYPTO 2015).
"""

import os
import struct
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from numpy.typing import NDArray

MAGIC = b"LGSNAP01"
SALT = 32
RECORD, LONGEST = 4 << 20, 8 << 20
TAG = 16
SIZE = struct.Struct(">I")
KINDS = frozenset("iufb")


class SnapshotError(Exception):
    """A snapshot that is missing, damaged, of another key or none at all."""


class ArrayHeader(msgspec.Struct, frozen=True):
    """One array of the file; `dtype` in NumPy's own notation."""

    name: str
    dtype: str
    shape: tuple[int, ...]


class Header(msgspec.Struct, frozen=True):
    """What a file holds; `about` is the caller's."""

    about: dict[str, str | int]
    arrays: tuple[ArrayHeader, ...]


def write(path: Path, key: bytes, about: Mapping[str, str | int], arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write beside, sync, rename: what stands at `path` is always one whole snapshot.

    `key` has 32 bytes or more; each file is encrypted under a key of its own derived from it.
    """
    kept = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    header = Header(dict(about), tuple(ArrayHeader(name, a.dtype.str, a.shape) for name, a in kept.items()))
    fresh = path.with_name(f".{path.name}.{os.urandom(4).hex()}")
    try:
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            salt = os.urandom(SALT)
            file.write(MAGIC + salt)
            for sealed in _sealed(_file_key(key, salt), _records(msgspec.json.encode(header), kept)):
                file.write(SIZE.pack(len(sealed)) + sealed)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
        _sync(path.parent)
    finally:
        with suppress(FileNotFoundError):
            fresh.unlink()


def read(path: Path, key: bytes) -> tuple[dict[str, str | int], dict[str, NDArray[Any]]]:
    """What `write` was given; the arrays are views of one buffer. Raises SnapshotError unless every byte is whole."""
    try:
        with path.open("rb") as file:
            opened = _opened(file, key)
            header = msgspec.json.decode(next(opened), type=Header)
            body = bytearray(sum(_bytes(array) for array in header.arrays))
            at = 0
            for record in opened:
                body[at : at + len(record)] = record
                at += len(record)
        if at != len(body):
            raise SnapshotError("the snapshot holds another number of bytes than it says")
        return header.about, dict(_arrays(header, body))
    except (OSError, InvalidTag, StopIteration, struct.error, msgspec.MsgspecError, TypeError, ValueError) as error:
        raise SnapshotError("the snapshot cannot be read") from error


def _file_key(key: bytes, salt: bytes) -> AESGCM:
    if len(key) < 32:
        raise ValueError("a snapshot's key has 32 bytes or more")
    return AESGCM(HKDF(SHA256(), 32, salt, b"llmguard snapshot").derive(key))


def _records(header: bytes, arrays: Mapping[str, NDArray[Any]]) -> Iterator[memoryview | bytes]:
    yield header
    for array in arrays.values():
        view = array.reshape(-1).view(np.uint8).data if array.size else memoryview(b"")
        for start in range(0, len(view), RECORD):
            yield view[start : start + RECORD]


def _sealed(cipher: AESGCM, records: Iterator[memoryview | bytes]) -> Iterator[bytes]:
    """Each record encrypted; the last is known only when there is none after it."""
    number, held = 0, next(records)
    for following in records:
        yield cipher.encrypt(_nonce(number, last=False), held, MAGIC)
        number, held = number + 1, following
    yield cipher.encrypt(_nonce(number, last=True), held, MAGIC)


def _opened(file: Any, key: bytes) -> Iterator[bytes]:
    """The records, each verified; raises InvalidTag or struct.error where one is not as it was written."""
    head = file.read(len(MAGIC) + SALT)
    if not head.startswith(MAGIC):
        raise SnapshotError("this is no snapshot")
    cipher, number = _file_key(key, head[len(MAGIC) :]), 0
    size = file.read(SIZE.size)
    while size:
        length = SIZE.unpack(size)[0]
        sealed = file.read(min(length, LONGEST))
        if len(sealed) != length:
            raise SnapshotError("a record is not as long as it says")
        size = file.read(SIZE.size)
        yield cipher.decrypt(_nonce(number, last=not size), sealed, MAGIC)
        number += 1


def _nonce(number: int, *, last: bool) -> bytes:
    return number.to_bytes(11, "big") + bytes([last])


def _bytes(array: ArrayHeader) -> int:
    dtype = np.dtype(array.dtype)
    if dtype.kind not in KINDS or min(array.shape, default=0) < 0:
        raise SnapshotError("the snapshot holds an array of a strange type")
    return dtype.itemsize * int(np.prod(array.shape, dtype=np.int64))


def _arrays(header: Header, body: bytearray) -> Iterator[tuple[str, NDArray[Any]]]:
    at = 0
    for array in header.arrays:
        end = at + _bytes(array)
        yield array.name, np.frombuffer(memoryview(body)[at:end], np.dtype(array.dtype)).reshape(array.shape)
        at = end


def _sync(directory: Path) -> None:
    """A rename is durable once its directory is."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
