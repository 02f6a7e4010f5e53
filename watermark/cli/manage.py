"""`keys`: issue, list, rotate, revoke and export, on a registry's file.

On stdout stands what was asked for and nothing else; words of keys only ever in an export.
"""

import hmac
import json
import os
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import TypeAlias, TypeVar

import msgspec
import numpy as np
import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from watermark.cli.options import Issuing, Rotating
from watermark.detector import Detector
from watermark.documents.reading import documents
from watermark.engines.vllm_config import written
from watermark.keys import issuing
from watermark.keys.issuing import Accept, UnknownKeyError
from watermark.keys.record import KeyRecord, Order, bundle
from watermark.keys.registry import FileRegistry, Registry, RegistryError
from watermark.normalise import Normaliser
from watermark.phrases import DIGEST, WIDTH
from watermark.schemes.named import WORDS, named
from watermark.statistics.calibration import screened
from watermark.tokenizer import TextTokenizer, TokenizerError, load

SELECTION = "selection"
PURPOSE = b"llmguard/watermark"
LEAST_SECRET = 32
LEAST_TEXTS = 20
"""Fewer p-values say little about a key."""
SYNTHID_LAYERS = 30
PIPE_WIDTH = 200
T = TypeVar("T")
Place: TypeAlias = Path | Registry


class BadUsageError(Exception):
    """What was asked for cannot be done: exit status 2."""


def issue(path: Place, options: Issuing, as_json: bool) -> int:
    """Issue a key and show its record."""

    def work() -> KeyRecord:
        master = _master(options.secret)
        accept: Accept
        if options.scheme == SELECTION:
            order, accept = _selection(options), _any
        elif options.tokenizer is None:
            raise BadUsageError("a --tokenizer is needed, for all schemes but selection")
        else:
            tokenizer = load(options.tokenizer)
            order = _order(options, tokenizer)
            accept = _screen(options.unmarked, order, tokenizer)
        return issuing.issue(_registry(path, new=True), master, order, accept=accept, now=_now())

    return _done(work, lambda record: _show(record, as_json))


def list_keys(path: Place, as_json: bool) -> int:
    """Show all records."""
    return _done(lambda: _registry(path).records(), lambda records: _listed(records, as_json))


def rotate(path: Place, id: str, options: Rotating, as_json: bool) -> int:
    """Issue a successor and show it."""

    def work() -> KeyRecord:
        registry = _registry(path)
        accept = _any if options.unmarked is None else _screen_as(registry, id, options.unmarked, options.tokenizer)
        return issuing.rotate(registry, _master(options.secret), id, accept=accept, now=_now())

    return _done(work, lambda record: _show(record, as_json))


def revoke(path: Place, id: str, as_json: bool) -> int:
    """Disown a key and show it."""
    return _done(lambda: issuing.revoke(_registry(path), id, now=_now()), lambda record: _show(record, as_json))


def export(path: Place, ids: tuple[str, ...], out: Path | None) -> int:
    """Write a verifier's bundle: whole, or not at all."""

    def work() -> bytes:
        records = _registry(path).records()
        missing = set(ids) - {record.id for record in records}
        if missing:
            raise UnknownKeyError(f"no watermark key has the id {min(missing)}")
        chosen = tuple(record for record in records if not ids or record.id in ids)
        revoked = [record.id for record in chosen if record.revoked_at is not None]
        if ids and revoked:
            raise BadUsageError(f"{revoked[0]} is revoked: its evidence is disowned")
        found = msgspec.json.format(msgspec.json.encode(bundle(chosen))) + b"\n"
        if out is not None:
            _write(out, found)
        return found

    return _done(work, lambda found: typer.echo(found.decode(), nl=False) if out is None else None)


def vllm_config(path: Place, id: str) -> int:
    """Print a key as vLLM takes it."""

    def work() -> str:
        for record in _registry(path).records():
            if record.id == id:
                return written(record.scheme, record.words, record.width)
        raise UnknownKeyError(f"no watermark key has the id {id}")

    return _done(work, typer.echo)


def _selection(options: Issuing) -> Order:
    """What a key that picks answers is wanted for: it reads words, and no tokenizer's tokens."""
    if options.width is not None or options.vocabulary is not None or options.unmarked is not None:
        raise BadUsageError("selection has no --context-width, no --vocabulary and needs no --unmarked")
    return Order(
        tenant=options.tenant, model=options.model, scheme=SELECTION, width=WIDTH, vocabulary=0, tokenizer=DIGEST
    )


def _done(work: Callable[[], T], tell: Callable[[T], None]) -> int:
    try:
        tell(work())
    except (BadUsageError, TokenizerError, RegistryError, UnknownKeyError, ValueError) as error:
        typer.echo(f"watermark keys: {error}", err=True)
        return 2
    return 0


def _now() -> float:
    return datetime.now(UTC).timestamp()


def _master(name: str) -> bytes:
    """The master of watermark keys, which tells nothing of the secret that it is derived from."""
    if not name.startswith("env:"):
        raise BadUsageError("--secret is env:NAME: what stands on a command line, others can read")
    secret = os.environ.get(name.removeprefix("env:"), "").encode()
    if len(secret) < LEAST_SECRET:
        raise BadUsageError(f"{name} must be set to at least {LEAST_SECRET} bytes")
    return hmac.digest(secret, PURPOSE, "sha256")


def _registry(path: Place, *, new: bool = False) -> Registry:
    if not isinstance(path, Path):
        return path
    if not new and not path.is_file():
        raise BadUsageError(f"there is no key registry {path}")
    return FileRegistry(path)


def _order(options: Issuing, tokenizer: TextTokenizer) -> Order:
    vocabulary = options.vocabulary or tokenizer.vocabulary
    if vocabulary < tokenizer.vocabulary:
        raise BadUsageError(f"the tokenizer has {tokenizer.vocabulary} tokens, more than --vocabulary {vocabulary}")
    columns = SYNTHID_LAYERS if options.scheme == "synthid" else WORDS.get(options.scheme, 1)
    scheme = named(options.scheme, width=options.width, vocabulary=vocabulary, words=columns)
    return Order(
        tenant=options.tenant,
        model=options.model,
        scheme=options.scheme,
        width=scheme.width,
        vocabulary=vocabulary,
        tokenizer=tokenizer.digest,
        columns=columns,
    )


def _any(_: KeyRecord) -> bool:
    return True


def _screen(unmarked: str | None, order: Order, tokenizer: TextTokenizer) -> Accept:
    """Whether a key finds nothing in unmarked texts; without texts every key does."""
    if unmarked is None:
        return _any
    normaliser = Normaliser()
    read = (document for document in documents([unmarked], stdin=sys.stdin.buffer, field="text"))
    texts = [tokenizer.tokens(normaliser(document.text))[0] for document in read if not document.unreadable]
    if len(texts) < LEAST_TEXTS:
        raise BadUsageError(f"--unmarked holds {len(texts)} texts; {LEAST_TEXTS} are needed")
    scheme = named(order.scheme, width=order.width or None, vocabulary=order.vocabulary, words=order.columns)

    def accept(record: KeyRecord) -> bool:
        detector = Detector(scheme, record.key[np.newaxis])
        return screened(np.exp(np.array([detector.log_p(text)[0] for text in texts])))

    return accept


def _screen_as(registry: Registry, id: str, unmarked: str, tokenizer: str | None) -> Accept:
    """The screen of a key's successor, by the tokenizer that the key pins."""
    if tokenizer is None:
        raise BadUsageError("--unmarked needs the --tokenizer of the key's model")
    order = next((record for record in registry.records() if record.id == id), None)
    if order is None:
        raise UnknownKeyError(f"no watermark key has the id {id}")
    found = load(tokenizer)
    if found.digest != order.tokenizer:
        raise BadUsageError("the key is for another tokenizer")
    return _screen(unmarked, order, found)


def _public(record: KeyRecord) -> dict[str, object]:
    return {name: value for name, value in msgspec.to_builtins(record).items() if name != "words"}


def _show(record: KeyRecord, as_json: bool) -> None:
    typer.echo(json.dumps(_public(record), indent=2) if as_json else record.id)


def _listed(records: tuple[KeyRecord, ...], as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps({"object": "list", "data": [*map(_public, records)]}, indent=2))
        return
    table = Table("id", "tenant", "model", "scheme", "epoch", "from", "state")
    for key in records:
        state = "marks" if key.valid_to is None else f"verifies; ended {_date(key.valid_to)}"
        if key.revoked_at is not None:
            state = f"revoked {_date(key.revoked_at)}"
        row = (key.id, key.tenant, key.model, key.scheme, str(key.epoch), _date(key.valid_from), state)
        table.add_row(*map(Text, row))
    Console(file=sys.stdout, width=None if sys.stdout.isatty() else PIPE_WIDTH).print(table)


def _date(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%MZ")


def _write(path: Path, content: bytes) -> None:
    """A file that only its owner may read, for its keys forge as well as verify."""
    fresh: Path | None = None
    try:
        with NamedTemporaryFile(dir=path.parent, prefix=".bundle-", delete=False) as file:
            fresh = Path(file.name)
            file.write(content)
        os.replace(fresh, path)
    except OSError as error:
        if fresh is not None:
            fresh.unlink(missing_ok=True)
        raise BadUsageError(f"{path} cannot be written: {error.strerror}") from error
