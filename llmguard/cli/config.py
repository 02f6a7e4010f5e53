"""`llmguard config`: check a settings file, print its JSON schema."""

import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from llmguard.mistakes import Mistake, SettingsError
from llmguard.settings import schema
from llmguard.settings_file import load
from llmguard.unenforced import Notice, unenforced

app = typer.Typer(help="Check a settings file, print its JSON schema.", no_args_is_help=True)


@app.command()
def check(
    file: Annotated[Path, typer.Argument(help="The settings file.", exists=True, dir_okay=False, readable=True)],
    as_json: Annotated[bool, typer.Option("--json", help="Report as JSON.")] = False,
) -> None:
    """Report every mistake in a settings file, with its line and key.

    Variables that `env:NAME` refers to must be set. Exit status: 0 valid, 1 mistakes found.
    """
    mistakes: tuple[Mistake, ...] = ()
    warnings: tuple[Notice, ...] = ()
    try:
        warnings = unenforced(load(file, os.environ))
    except SettingsError as error:
        mistakes = error.mistakes
    if as_json:
        report = {"valid": not mistakes, "mistakes": [*map(asdict, mistakes)], "warnings": [*map(asdict, warnings)]}
        typer.echo(json.dumps(report, indent=2))
    else:
        tell(file, mistakes, warnings)
    raise typer.Exit(1 if mistakes else 0)


def tell(file: Path, mistakes: tuple[Mistake, ...], warnings: tuple[Notice, ...]) -> None:
    """One line a mistake on stdout, as a compiler writes them, and one a warning on stderr."""
    for mistake in mistakes:
        typer.echo(f"{file}:{'' if mistake.line else ' '}{mistake}")
    for warning in warnings:
        typer.echo(f"{file}: warning: {warning}", err=True)
    if not mistakes:
        typer.echo(f"{file}: valid")


@app.command("schema")
def print_schema() -> None:
    """Print the JSON schema of the settings file."""
    typer.echo(json.dumps(schema(), indent=2))
