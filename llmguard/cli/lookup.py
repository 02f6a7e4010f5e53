"""`llmguard lookup`: which request a text came from, asked of the running guard's admin API."""

import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from llmguard.cli.keys import Config, Json
from llmguard.cli.operator import Operator
from llmguard.cli.quota import PIPE_WIDTH

COLUMNS = ("request_id", "at", "key", "tenant", "model", "watermark_key", "matched")
MOST_BYTES = 200_000


def lookup(
    file: Annotated[str, typer.Argument(metavar="FILE|-", help="The text; - is standard input.")],
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Say which answers a text shares phrases with, as far as `watermark.remember` of a policy had them kept.

    Exit status: 0 where one is found, 1 where none is.
    """
    operator = Operator("lookup", config)
    found = operator.ask("POST", "watermark/lookup", {"text": _text(operator, file)})
    if as_json:
        typer.echo(json.dumps(found, indent=2))
    else:
        _show(found["data"])
    raise typer.Exit(0 if found["data"] else 1)


def _text(operator: Operator, file: str) -> str:
    try:
        content = sys.stdin.buffer.read(MOST_BYTES + 1) if file == "-" else Path(file).read_bytes()
        if len(content) > MOST_BYTES:
            operator.stop(2, f"the text is longer than {MOST_BYTES} bytes: take a part of it")
        return content.decode()
    except OSError as error:
        operator.stop(2, f"{file} cannot be read: {error.strerror}")
    except UnicodeDecodeError:
        operator.stop(2, f"{file} is not UTF-8 text")


def _show(found: list[dict[str, Any]]) -> None:
    table = Table("request", "when", "key", "tenant", "model", "watermark key", "shared phrases")
    for one in found:
        when = datetime.fromtimestamp(one["at"], UTC).strftime("%Y-%m-%d %H:%MZ")
        shared = f"{one['matched']} of {one['kept']}"
        cells = [str(one[name]) for name in COLUMNS]
        table.add_row(*map(Text, (cells[0], when, *cells[2:6], shared)))
    console = Console(file=sys.stdout, width=None if sys.stdout.isatty() else PIPE_WIDTH)
    console.print(table if found else "No answer that is remembered shares a phrase with it.")
