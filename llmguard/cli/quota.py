"""`llmguard quota`: show, reset, grant, through the admin API of the running guard: it alone knows the last second."""

import json
import os
import sys
import urllib.error
import urllib.request
from http import HTTPStatus
from pathlib import Path
from typing import Annotated, Any, Literal, NoReturn
from urllib.parse import quote

import typer
from rich.console import Console
from rich.table import Table

from llmguard.cli.keys import Config, Json, duration
from llmguard.quota.durations import spelled
from llmguard.settings import Settings
from llmguard.settings_file import SettingsError, load

TIMEOUT_S = 10.0
PIPE_WIDTH = 200
"""Columns of a table that no terminal bounds: every field on one line."""
ANYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  what a guard listens on, and where it is found
Scope = Annotated[
    Literal["key", "user", "tenant", "ip", "global"], typer.Argument(help="Who: key, user, tenant, ip or global.")
]
Name = Annotated[str, typer.Argument(metavar="ID", help="Its id; for global, any word.")]

app = typer.Typer(help="Show, reset and grant quotas of a running guard.", no_args_is_help=True)


@app.command()
def show(scope: Scope, id: Name = "all", config: Config = None, as_json: Json = False) -> None:
    """Show what has been spent of every limit, what is reserved and what remains."""
    tell(ask(settings_of(config), "GET", scope, id), as_json)


@app.command()
def reset(scope: Scope, id: Name = "all", config: Config = None, as_json: Json = False) -> None:
    """Forget what has been spent; what running requests hold stays reserved."""
    tell(ask(settings_of(config), "POST", scope, id, "/reset"), as_json)


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
    tell(ask(settings_of(config), "POST", scope, id, "/grant", body), as_json)


def settings_of(config: Path | None) -> Settings:
    """The settings in the file; without one there is no admin API to ask."""
    if config is None:
        stop(2, "give the running guard's settings with --config; its admin.token is needed")
    try:
        return load(config, os.environ)
    except SettingsError as error:
        stop(2, str(error))


def ask(settings: Settings, method: str, scope: str, id: str, action: str = "", body: object = None) -> dict[str, Any]:
    """The guard's answer, or the exit with its status and a line on stderr."""
    if settings.admin.token is None:
        stop(2, "the settings have no admin.token, so the guard's admin API is shut")
    host = ANYWHERE.get(settings.server.host, settings.server.host)
    place = f"[{host}]" if ":" in host else host
    url = f"http://{place}:{settings.server.port}/admin/v1/spend/{scope}/{quote(id, safe='')}{action}"
    headers = {"authorization": f"Bearer {settings.admin.token.get_secret_value()}"}
    if body is not None:
        headers["content-type"] = "application/json"
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, headers, method=method)
    # Not through a proxy of the environment's: the guard is here.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=TIMEOUT_S) as response:
            answer: dict[str, Any] = json.load(response)
            return answer
    except urllib.error.HTTPError as error:
        stop(2 if error.code == HTTPStatus.UNAUTHORIZED else 1, said(error))
    except (OSError, ValueError) as error:
        stop(1, f"no guard answers at {place}:{settings.server.port}: {getattr(error, 'reason', error)}")


def said(error: urllib.error.HTTPError) -> str:
    """The guard's own words for a refusal."""
    try:
        return str(json.load(error)["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return f"HTTP {error.code}"


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


def stop(status: int, message: str) -> NoReturn:
    """The end of the command, said on stderr."""
    typer.echo(f"llmguard quota: {message}", err=True)
    raise typer.Exit(status)
