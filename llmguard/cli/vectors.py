"""`llmguard vectors`: vector stores on their way from one machine to Milvus."""

from pathlib import Path
from typing import Annotated

import typer

from llmguard.cli.keys import Config, Json

app = typer.Typer(help="Move vector stores.", no_args_is_help=True)


@app.callback()
def commands() -> None:
    """Move vector stores."""


@app.command()
def migrate(
    to: Annotated[str, typer.Option(metavar="URI", help="Milvus: http://host:19530, or a milvus-lite file.")],
    token: Annotated[
        str, typer.Option(envvar="LLMGUARD_MILVUS_TOKEN", show_envvar=True, help="Milvus's token, or user:password.")
    ] = "",
    sample: Annotated[int, typer.Option(min=0, help="Chunks of each store that are compared afterwards.")] = 100,
    directory: Annotated[
        Path | None, typer.Option(help="Where the vector stores are, if not where the settings say.", file_okay=False)
    ] = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Copy every store's vectors into Milvus, and compare counts and samples.

    May be broken off and run again: what Milvus has already is not copied twice. Exit code 1: something differs.
    """
    # It alone needs Milvus's client, which takes seconds to import.
    from llmguard.cli.vectors_migrate import run  # noqa: PLC0415

    raise typer.Exit(run(directory, to, token, sample, config, as_json=as_json))
