"""`llmguard quota`: show, reset, grant, through the admin API of the running guard."""

import json
import sys
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import quote

import typer
from rich.console import Console
from rich.table import Table

from llmguard.cli.keys import Config, Json, duration
from llmguard.cli.operator import Operator
from llmguard.quota.durations import spelled

PIPE_WIDTH = 200
"""Columns of a table that no terminal bounds: every field on one line."""
Scope = Annotated[
    Literal["key", "user", "tenant", "ip", "global"], typer.Argument(help="Who: key, user, tenant, ip or global.")
]
Name = Annotated[str, typer.Argument(metavar="ID", help="Its id; for global, any word.")]

app = typer.Typer(help="Show, reset and grant quotas of a running guard.", no_args_is_help=True)


@app.command()
def show(scope: Scope, id: Name = "all", config: Config = None, as_json: Json = False) -> None:
    """Show what has been spent of every limit, what is reserved and what remains."""
    tell(ask(config, "GET", scope, id), as_json)


@app.command()
def reset(scope: Scope, id: Name = "all", config: Config = None, as_json: Json = False) -> None:
    """Forget what has been spent; what running requests hold stays reserved."""
    tell(ask(config, "POST", scope, id, "/reset"), as_json)


@app.command()
def grant(
    scope: Scope,
    id: Name,
    amount: Annotated[int, typer.Option(min=1, help="How much more.")],
    of: Annotated[
        Literal["requests", "tokens", "input_tokens", "output_tokens", "credits", "concurrent"],
        typer.Option(help="What of."),
    ] = "tokens",
    every: Annotated[
        float | None, typer.Option(parser=duration, metavar="DURATION", help="In this window only, such as 1d.")
    ] = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Allow more, once: for one window of each limit, for good where it has none."""
    body = {"of": of, "amount": amount, "every_s": every}
    tell(ask(config, "POST", scope, id, "/grant", body), as_json)


def ask(config: Path | None, method: str, scope: str, id: str, action: str = "", body: object = None) -> dict[str, Any]:
    """The guard's answer."""
    return Operator("quota", config).ask(method, f"spend/{scope}/{quote(id, safe='')}{action}", body)


def tell(spend: dict[str, Any], as_json: bool) -> None:
    """The answer as JSON or as a table."""
    if as_json:
        typer.echo(json.dumps(spend, indent=2))
        return
    table = Table("limit", "every", "of", "spent", "reserved", "remaining", "all back in")
    for limit in spend["limits"]:
        every = "-" if limit["every_s"] is None else spelled(limit["every_s"])
        back = "-" if limit["reset_s"] is None else spelled(limit["reset_s"])
        figures = (f"{limit[name]:,}" for name in ("spent", "reserved", "remaining"))
        table.add_row(f"{limit['limit']:,}", every, limit["of"], *figures, back)
    console = Console(file=sys.stdout, width=None if sys.stdout.isatty() else PIPE_WIDTH)
    console.print(f"{spend['scope']} {spend['id']}")
    console.print(table if spend["limits"] else "No limit counts this.")
