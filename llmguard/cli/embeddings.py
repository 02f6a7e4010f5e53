"""`llmguard embeddings`: whose vectors a suspect's are.

It must start quickly: nothing that is imported at its top may import numpy.
"""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from llmguard.settings_file import SettingsError, load

CANNOT_TELL = 2

app = typer.Typer(help="Find out which tenant's vectors somebody else serves.", no_args_is_help=True)


@app.callback()
def main() -> None:
    """Find out which tenant's vectors somebody else serves."""


@app.command()
def verify(
    file: Annotated[
        Path,
        typer.Argument(
            exists=True,
            dir_okay=False,
            help='JSON lines {"text", "embedding"}: what the suspect says of texts that a tenant may have asked about, '
            'more of them than numbers were told; with "original", the model\'s own vector, unless it is embedded.',
        ),
    ],
    config: Annotated[Path, typer.Option(exists=True, dir_okay=False, help="The settings the vectors left under.")],
    policy: Annotated[str, typer.Option(help="The policy that granted them.")],
    model: Annotated[str, typer.Option(help="The public model that made them.")],
    tenant: Annotated[list[str] | None, typer.Option(help="Whom to test; else the tenants of the file's keys.")] = None,
    fpr: Annotated[float, typer.Option(help="The chance of a false accusation, over all tenants.")] = 1e-6,
    decoys: Annotated[int, typer.Option(min=19, max=9999, help="Random tenants that nobody is, for comparison.")] = 99,
    as_json: Annotated[bool, typer.Option("--json", help="Report as JSON.")] = False,
) -> None:
    """Say which tenant's noise is in a suspect's vectors, whatever linear map lies over them.

    Exit status: 0 where a tenant's is found, 1 where none is, 2 for bad usage or too few texts.
    """
    # Here numpy comes in, and torch for the embedded model.
    from llmguard.cli.embedding_report import BadUsage, report  # noqa: PLC0415

    try:
        settings = load(config, os.environ)
        text, found = report(
            settings, file, policy=policy, model=model, tenants=tenant, fpr=fpr, decoys=decoys, as_json=as_json
        )
    except (SettingsError, BadUsage) as error:
        typer.echo(f"llmguard embeddings: {error}", err=True)
        raise typer.Exit(CANNOT_TELL) from error
    sys.stdout.write(text)
    raise typer.Exit(0 if found else 1)
