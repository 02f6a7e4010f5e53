"""Which keys a text is tested under: given in hex, or those of a registry or a bundle."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import msgspec
import numpy as np

from watermark.keys.record import Bundle, KeyRecord, VerifierKey
from watermark.keys.registry import FileRegistry, Registry, RegistryError
from watermark.schemes.named import key_words, named
from watermark.verdict import Panel

Held: TypeAlias = KeyRecord | VerifierKey


class ChoiceError(Exception):
    """There is no key to test under; the message says why, and nothing of any key."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What narrows the choice: a scheme, a context width, a vocabulary; None takes what there is."""

    scheme: str | None
    width: int | None
    vocabulary: int | None


def given(keys: Sequence[str], wanted: Wanted, *, default: str, tokens: int) -> list[Panel]:
    """Keys in hex, words joined by colons, which are called key-1, key-2 … and never by what they are.

    `tokens` is the tokenizer's vocabulary. Raises `ChoiceError`.
    """
    name = wanted.scheme or default
    vocabulary = wanted.vocabulary or tokens
    if vocabulary < tokens:
        raise ChoiceError(f"the tokenizer has {tokens} tokens, more than the vocabulary of {vocabulary}")
    try:
        words = [key_words(name, key.split(":")) for key in keys]
        if len({key.size for key in words}) > 1:
            raise ChoiceError("keys of different lengths are of different schemes: test them apart")
        scheme = named(name, width=wanted.width, vocabulary=vocabulary, words=words[0].size)
    except ValueError as error:
        raise ChoiceError(str(error)) from error
    if len({tuple(key.tolist()) for key in words}) < len(words):
        raise ChoiceError("a key is given twice")
    return [Panel(scheme, np.array(words), tuple(f"key-{place}" for place in range(1, len(words) + 1)))]


def held(place: Path | Registry) -> tuple[Held, ...]:
    """The keys in a registry, in its file or in a verifier's bundle. Raises `ChoiceError`."""
    if not isinstance(place, Path):
        return _records(place)
    path = place
    if not path.is_file():
        raise ChoiceError(f"there is no key registry {path}")
    try:
        return msgspec.json.decode(path.read_bytes(), type=Bundle).keys
    except (msgspec.MsgspecError, UnicodeDecodeError, OSError):
        pass
    return _records(FileRegistry(path))


def _records(registry: Registry) -> tuple[Held, ...]:
    try:
        return registry.records()
    except RegistryError as error:
        raise ChoiceError(str(error)) from error


def chosen(
    keys: Sequence[Held], ids: Sequence[str], wanted: Wanted, *, digest: str, tokens: int
) -> tuple[list[Panel], str]:
    """The keys that a text may be tested under, and what was left out, in words (or nothing).

    With `ids` those keys alone. A revoked key proves nothing, and one that pins another tokenizer
    than that of SHA-256 `digest`, or a smaller vocabulary than its `tokens`, cannot be read with
    it: each is an error where it was asked for, and where no other key is left. Raises `ChoiceError`.
    """
    by_id = {key.id: key for key in keys}
    unknown = [id for id in ids if id not in by_id]
    if unknown:
        raise ChoiceError(f"no watermark key has the id {unknown[0]}")
    asked = [by_id[id] for id in dict.fromkeys(ids)] if ids else list(keys)
    if not asked:
        raise ChoiceError("the registry holds no key")
    faults = [_fault(key, wanted, digest, tokens) for key in asked]
    fit = [key for key, fault in zip(asked, faults, strict=True) if not fault]
    said = sorted({fault for fault in faults if fault})
    if not fit or (ids and said):
        raise ChoiceError("; ".join(said))
    left = len(asked) - len(fit)
    return _panels(
        fit, wanted.vocabulary or tokens
    ), f"{left} of {len(asked)} keys are left out: {'; '.join(said)}" if left else ""


def _fault(key: Held, wanted: Wanted, digest: str, tokens: int) -> str:
    if isinstance(key, KeyRecord) and key.revoked_at is not None:
        return "revoked: its evidence is disowned"
    if key.tokenizer not in ("", digest):
        return "the key is for another tokenizer"
    if key.vocabulary and tokens > key.vocabulary:
        return f"the tokenizer has {tokens} tokens, more than the vocabulary of {key.vocabulary} that the key is for"
    if key.vocabulary and wanted.vocabulary not in (None, key.vocabulary):
        return f"the key is for a vocabulary of {key.vocabulary}"
    if wanted.scheme not in (None, key.scheme):
        return f"the key is for {key.scheme}"
    if wanted.width not in (None, key.width):
        return f"the key is for a context of {key.width} tokens"
    return ""


def _panels(keys: Sequence[Held], tokens: int) -> list[Panel]:
    groups: dict[tuple[str, int, int, int], list[Held]] = {}
    for key in keys:
        groups.setdefault((key.scheme, key.width, key.vocabulary, len(key.words)), []).append(key)
    try:
        return [
            Panel(
                named(name, width=width or None, vocabulary=vocabulary or tokens, words=words),
                np.array([key_words(name, key.words) for key in group]),
                tuple(key.id for key in group),
            )
            for (name, width, vocabulary, words), group in groups.items()
        ]
    except ValueError as error:
        raise ChoiceError(str(error)) from error
