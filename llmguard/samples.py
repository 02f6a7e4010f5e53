"""Samples of prompts for abuse review: encrypted at rest, few, short, and soon forgotten.

Where the settings ask for them alone. Each guard keeps its own, in a file beside nothing else.
"""

import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Final

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from llmguard.settings_samples import SampleSettings

FILE: Final = "samples.sqlite3"
NONCE_BYTES: Final = 12
BUSY_S: Final = 5.0
SCHEMA: Final = "CREATE TABLE IF NOT EXISTS samples (id TEXT PRIMARY KEY, at REAL NOT NULL, sealed BLOB NOT NULL)"


class SamplesUnavailable(Exception):
    """The file of the samples cannot be read or written; chained to the cause."""


class Sample(msgspec.Struct, frozen=True):
    """One request: when (epoch seconds), whose, to which model, and its prompt as JSON, cut to so many characters."""

    request_id: str
    at: float
    key: str
    user: str
    tenant: str
    policy: str
    endpoint: str
    model: str
    prompt: str


class Samples:
    """The newest `most` samples no older than `keep`; both hold in the file itself, from the next write or read on.

    AES-256-GCM under `key` (32 bytes), each sealed to its request's id and time, so that none can pass for another;
    an id is kept in the clear and nothing else. All methods block, and raise SamplesUnavailable.
    """

    def __init__(self, settings: SampleSettings, key: bytes) -> None:
        self._settings = settings
        self._cipher = AESGCM(key)

    def add(self, sample: Sample) -> None:
        """Keep a sample, and forget those that are too many or too old."""
        nonce = os.urandom(NONCE_BYTES)
        cut = msgspec.structs.replace(sample, prompt=sample.prompt[: self._settings.max_characters])
        sealed = nonce + self._cipher.encrypt(nonce, msgspec.json.encode(cut), _place(sample.request_id, sample.at))
        try:
            with closing(self._open()) as connection, connection:
                connection.execute("INSERT INTO samples VALUES (?, ?, ?)", (sample.request_id, sample.at, sealed))
                self._forget(connection, sample.at)
        except (sqlite3.Error, OSError) as error:
            raise SamplesUnavailable from error

    def read(self, now: float, most: int) -> list[Sample]:
        """The newest, the newest first."""
        try:
            with closing(self._open()) as connection, connection:
                self._forget(connection, now)
                query = "SELECT id, at, sealed FROM samples ORDER BY at DESC, id LIMIT ?"
                rows = connection.execute(query, (most,)).fetchall()
            return [
                msgspec.json.decode(
                    self._cipher.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], _place(id, at)), type=Sample
                )
                for id, at, sealed in rows
            ]
        except (sqlite3.Error, OSError, InvalidTag, msgspec.MsgspecError) as error:
            raise SamplesUnavailable from error

    def _open(self) -> sqlite3.Connection:
        directory = Path(self._settings.directory)
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = directory / FILE
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
        connection = sqlite3.connect(path, timeout=BUSY_S)
        connection.execute("PRAGMA secure_delete = ON")  # what is forgotten is overwritten
        connection.execute(SCHEMA)
        return connection

    def _forget(self, connection: sqlite3.Connection, now: float) -> None:
        connection.execute("DELETE FROM samples WHERE at <= ?", (now - self._settings.keep,))
        connection.execute(
            "DELETE FROM samples WHERE id NOT IN (SELECT id FROM samples ORDER BY at DESC, id LIMIT ?)",
            (self._settings.most,),
        )


def _place(id: str, at: float) -> bytes:
    return f"{id}\0{at!r}".encode()
