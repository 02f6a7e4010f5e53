"""From a suspect's vectors in a file to what speaks for each tenant, as text."""

import io
import json
import secrets
from collections.abc import Sequence
from math import log10
from pathlib import Path

import msgspec
import numpy as np
from rich.console import Console
from rich.table import Table

from llmguard.keys import derive
from llmguard.outputs.embeddings.evidence import Finding, TooFew, findings, suspect
from llmguard.outputs.embeddings.reductions import Reductions, digest
from llmguard.settings import EmbeddedUpstream, Settings
from llmguard.upstreams.embedded import sentences
from similarity.vectors import Vectors

WIDTH = 120


class BadUsage(Exception):
    """Nothing can be told; the message says why."""


class Line(msgspec.Struct):
    """What a suspect says of a text."""

    text: str
    embedding: list[float]
    original: list[float] | None = None


def report(
    settings: Settings,
    file: Path,
    *,
    policy: str,
    model: str,
    tenants: Sequence[str] | None,
    fpr: float,
    decoys: int,
    as_json: bool,
) -> tuple[str, bool]:
    """The report, and whether it accuses anybody; raises BadUsage."""
    if not 0 < fpr < 1:
        raise BadUsage("--fpr must be between 0 and 1")
    outputs = settings.policies[policy].outputs if policy in settings.policies else None
    if outputs is None or outputs.reduced is None or model not in settings.models:
        raise BadUsage(f"the settings grant no reduced vectors of {model!r} under {policy!r}")
    named = sorted(set(tenants or [key.tenant for key in settings.keys]))
    if not named:
        raise BadUsage("the settings' file holds no keys; name a --tenant")
    lines = _read(file)
    originals = _originals(settings, model, lines)
    key = derive(settings.secret.get_secret_value().encode(), "embeddings")
    reduction = Reductions(key).reduction(outputs.reduced, model, originals.shape[1])
    try:
        answers = suspect(
            reduction, [digest(line.text) for line in lines], originals, _rows([line.embedding for line in lines])
        )
    except (TooFew, ValueError) as error:
        raise BadUsage(str(error)) from error
    # A name that no tenant can have, since its characters are not among an id's.
    strangers = [f"/{secrets.token_hex(16)}" for _ in range(decoys)]
    found = findings(reduction, answers, named, strangers)
    accused = [row.tenant for row in found if row.log10_p <= log10(fpr) and row.decoy_rank_p <= 1 / (decoys + 1)]
    return (_json if as_json else _table)(found, accused, len(answers.by_text), decoys), bool(accused)


def _read(file: Path) -> list[Line]:
    try:
        return [msgspec.json.decode(line, type=Line) for line in file.read_bytes().splitlines() if line.strip()]
    except (OSError, msgspec.DecodeError) as error:
        raise BadUsage(f"{file} does not hold JSON lines with a text and an embedding") from error


def _originals(settings: Settings, model: str, lines: Sequence[Line]) -> Vectors:
    """The texts' true vectors, of the file or of the embedded model."""
    known = [line.original for line in lines if line.original is not None]
    if len(known) == len(lines):
        return _rows(known)
    if not isinstance(settings.upstreams[settings.models[model].upstream], EmbeddedUpstream):
        raise BadUsage(f"every line needs the true vector of {model!r} as `original`")
    # Torch takes seconds to load, and files with their own vectors do without it.
    from llmguard.upstreams.embedded.minilm import MiniLM  # noqa: PLC0415

    rows = np.empty((len(lines), 0), np.float32)
    for batch in MiniLM(sentences.directory()).batches([line.text for line in lines]):
        for at, vector in batch:
            if not rows.shape[1]:
                rows = np.empty((len(lines), len(vector)), np.float32)
            rows[at] = vector
    return rows


def _rows(vectors: Sequence[Sequence[float]]) -> Vectors:
    if len({len(vector) for vector in vectors}) != 1:
        raise BadUsage("the vectors are not of one length")
    return np.array(vectors, np.float32)


def _json(found: Sequence[Finding], accused: Sequence[str], texts: int, decoys: int) -> str:
    rows = [{**msgspec.to_builtins(row), "found": row.tenant in accused} for row in found]
    return json.dumps({"texts": texts, "decoys": decoys, "tenants": rows}, indent=2) + "\n"


def _table(found: Sequence[Finding], accused: Sequence[str], texts: int, decoys: int) -> str:
    table = Table(
        "tenant", "verdict", "log10 p", "by text", "by cell", "p of rank", title=f"{texts} texts, {decoys} decoys"
    )
    for row in found:
        figures = (f"{value:.1f}" for value in (row.log10_p, row.by_text, row.by_cell))
        table.add_row(row.tenant, "found" if row.tenant in accused else "-", *figures, f"{row.decoy_rank_p:.3f}")
    out = io.StringIO()
    Console(file=out, width=WIDTH).print(table)
    return out.getvalue()
