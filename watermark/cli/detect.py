"""`detect`: from what was named on the command line to verdicts, reported as they come."""

import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO

import numpy as np
import typer
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from watermark.cli.html import HtmlReport, ReportError
from watermark.cli.options import Detecting
from watermark.cli.report import JsonReport, Report, TableReport
from watermark.documents.document import Document, Unreadable
from watermark.documents.reading import documents
from watermark.engines.vllm_config import ConfigError, read
from watermark.examination import Examination, Examiner
from watermark.keys.choosing import ChoiceError, Wanted, chosen, given, held
from watermark.keys.picking import picking, picking_given
from watermark.normalise import Normaliser
from watermark.selection.verdict import SCHEME, together
from watermark.tokenizer import TextTokenizer, TokenizerError, load
from watermark.verdict import Panel, finds_itself

DEFAULT_SCHEME = "gumbel-vllm"
MARKED, NOT_MARKED, CANNOT_TELL = 0, 1, 2


def run(options: Detecting, *, stdin: BinaryIO) -> int:
    """Report on every document; the exit status."""
    if not 0 < options.fpr < 1:
        return refused("--fpr must be between 0 and 1")
    try:
        if options.scheme == SCHEME:
            return _reported(options, _together(options, stdin))
        examiner = _examiner(options, stdin)
        # One seed: the same command says the same twice.
        found = (examiner.examine(document, np.random.default_rng(0)) for document in _read(options, stdin))
        return _reported(options, found)
    except (TokenizerError, ChoiceError, ConfigError, Unreadable, ReportError) as error:
        return refused(str(error))


def refused(reason: str) -> int:
    """Say on stderr why nothing was done; the exit status."""
    typer.echo(f"watermark: {reason}", err=True)
    return CANNOT_TELL


def _together(options: Detecting, stdin: BinaryIO) -> Iterator[Examination]:
    """The one verdict on all texts, whose mark is in which answers were given."""
    if options.registry is not None:
        keys, ids = picking(held(options.registry), options.keys)
    else:
        keys, ids = picking_given(options.keys)
    normaliser = Normaliser()
    texts = (normaliser(document.text) for document in _read(options, stdin) if not document.unreadable)
    yield together(texts, keys, ids, options.fpr)


def _examiner(options: Detecting, stdin: BinaryIO) -> Examiner:
    if options.tokenizer is None:
        raise ChoiceError("a --tokenizer is needed, for all schemes but selection")
    tokenizer, normaliser = load(options.tokenizer), Normaliser()
    panels, left_out = _panels(options, tokenizer)
    if left_out:
        typer.echo(f"watermark: {left_out}", err=True)
    unlucky = frozenset[str]()
    if options.reference is not None:
        read = list(documents([options.reference], stdin=stdin, field=options.field))
        faults = [f"{document.name}: {document.unreadable}" for document in read if document.unreadable]
        if faults:
            raise Unreadable(faults[0])
        unmarked = [tokenizer.tokens(normaliser(document.text))[0] for document in read]
        unlucky = finds_itself(np.concatenate(unmarked), panels)
    return Examiner(tokenizer, normaliser, tuple(panels), options.fpr, unlucky)


def _panels(options: Detecting, tokenizer: TextTokenizer) -> tuple[list[Panel], str]:
    if options.vllm_config is not None:
        if options.keys or options.registry is not None or options.scheme is not None:
            raise ChoiceError("--vllm-config says which key and scheme: give no other")
        scheme, key = read(_config(options.vllm_config))
        return [Panel(scheme, key[np.newaxis], ("vllm-config",))], ""
    wanted = Wanted(options.scheme, options.width, options.vocabulary)
    if options.registry is not None:
        keys = held(options.registry)
        return chosen(keys, options.keys, wanted, digest=tokenizer.digest, tokens=tokenizer.vocabulary)
    if not options.keys:
        raise ChoiceError("a --key or a --registry is needed")
    return given(options.keys, wanted, default=DEFAULT_SCHEME, tokens=tokenizer.vocabulary), ""


def _config(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ChoiceError(f"{path} cannot be read: {error.strerror}") from error


def _read(options: Detecting, stdin: BinaryIO) -> Iterator[Document]:
    """The documents, with a sign of life on stderr where that is a terminal."""
    console = Console(stderr=True)
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("reading", total=None)
        for document in documents(options.paths, stdin=stdin, field=options.field):
            # Text: a file's name is not markup.
            progress.update(task, description=document.name.replace("[", r"\["))
            yield document


def _reported(options: Detecting, found: Iterator[Examination]) -> int:
    answers = set()
    with ExitStack() as stack:
        reports: list[Report] = [
            stack.enter_context(JsonReport(sys.stdout) if options.as_json else TableReport(sys.stdout))
        ]
        if options.html is not None:
            reports.append(stack.enter_context(HtmlReport(options.html, options.fpr)))
        for examination in found:
            answers.add(examination.verdict.answer)
            for report in reports:
                report.add(examination)
    if "marked" in answers:
        return MARKED
    return CANNOT_TELL if "cannot_tell" in answers else NOT_MARKED
