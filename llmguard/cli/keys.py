"""`llmguard keys`: issue, list, revoke and rotate the keys in the store.

On stdout stands what was asked for and nothing else: the key, the table, the JSON.
"""

import asyncio
import json
import os
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, TypeVar

import typer
from pydantic import TypeAdapter, ValidationError
from rich.console import Console

from llmguard import keys
from llmguard.cli import key_commands
from llmguard.cli.key_commands import BadUsage, NegativeFinding
from llmguard.clock import SystemClock
from llmguard.defaults import default_settings
from llmguard.issuer import DEFAULT_OVERLAP_S, Issuer
from llmguard.settings import Settings
from llmguard.settings_file import SettingsError, load
from llmguard.settings_values import TEN_YEARS_S, Id, seconds
from llmguard.store.store import KeyRecord, Store, StoreUnavailable

DATA = Path("llmguard-data")
"""Where `llmguard serve` keeps everything when it is given no file either."""
PIPE_WIDTH = 200
"""Columns of a table that no terminal bounds: every field on one line."""

T = TypeVar("T")


def duration(value: object) -> float:
    """`24h` or a number of seconds as seconds: from 0 to ten years."""
    try:
        parsed = seconds(value)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    try:
        parsed = float(str(parsed))
    except ValueError:
        raise typer.BadParameter("must be a duration") from None
    if not 0 <= parsed <= TEN_YEARS_S:
        raise typer.BadParameter("must be between 0 and ten years")
    return parsed


def name(value: str) -> str:
    """A user or a tenant, as the settings would take it."""
    try:
        return TypeAdapter[str](Id).validate_python(value)
    except ValidationError:
        raise typer.BadParameter("must be 1 to 128 of the characters A-Z a-z 0-9 . _ : @ -") from None


Config = Annotated[
    Path | None, typer.Option("--config", help="The settings file.", exists=True, dir_okay=False, readable=True)
]
Json = Annotated[bool, typer.Option("--json", help="Report as JSON.")]
KeyId = Annotated[str, typer.Argument(metavar="ID", help="The key's id: key_…")]

app = typer.Typer(help="Issue, list, revoke and rotate API keys.", no_args_is_help=True)


@app.command("issue")
def issue(
    user: Annotated[str, typer.Option(parser=name, metavar="USER", help="Whose key it is.")],
    tenant: Annotated[str, typer.Option(parser=name, metavar="TENANT", help="The user's organisation.")],
    policy: Annotated[str, typer.Option(help="The policy that it is under.")],
    expires_in: Annotated[
        float | None,
        typer.Option(parser=duration, metavar="DURATION", help="How long it lasts, such as 30d; else until revoked."),
    ] = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Make a key and print it, this once: only a hash of it is kept."""
    if expires_in == 0:
        raise typer.BadParameter("must be longer than 0", param_hint="--expires-in")
    settings = settings_of(config)
    record, secret = done(
        settings, lambda _, issuer: key_commands.issue(settings, issuer, user, tenant, policy, expires_in)
    )
    show(record, secret, as_json)


@app.command("list")
def list_keys(config: Config = None, as_json: Json = False) -> None:
    """List the keys in the store; those in the settings file are not among them."""
    records = done(settings_of(config), lambda store, _: store.list_keys())
    if as_json:
        typer.echo(json.dumps({"object": "list", "data": [*map(keys.public, records)]}, indent=2))
        return
    console = Console(file=sys.stdout, width=None if sys.stdout.isatty() else PIPE_WIDTH)
    console.print(key_commands.table(records, SystemClock.time()))


@app.command("revoke")
def revoke(id: KeyId, config: Config = None, as_json: Json = False) -> None:
    """End a key. Running guards notice within a second."""
    done(settings_of(config), lambda _, issuer: key_commands.revoke(issuer, id))
    if as_json:
        typer.echo(json.dumps({"id": id, "revoked": True}, indent=2))
    else:
        typer.echo(f"{id} is revoked.", err=True)


@app.command("rotate")
def rotate(
    id: KeyId,
    overlap: Annotated[
        float,
        typer.Option(parser=duration, metavar="DURATION", show_default="24h", help="How long the old key stays valid."),
    ] = DEFAULT_OVERLAP_S,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Give a key a new secret and print it, this once; the old one stays valid for a while."""
    show(*done(settings_of(config), lambda _, issuer: key_commands.rotate(issuer, id, overlap)), as_json)


def settings_of(config: Path | None) -> Settings:
    """The settings in the file, or those that the server has without one."""
    try:
        return default_settings(DATA) if config is None else load(config, os.environ)
    except SettingsError as error:
        raise stopped(2, str(error)) from error


def done(settings: Settings, work: Callable[[Store, Issuer], Awaitable[T]]) -> T:
    """What `work` gives, or the exit with its status and a line on stderr."""
    try:
        return asyncio.run(key_commands.with_store(settings, SystemClock(), work))
    except BadUsage as error:
        raise stopped(2, str(error)) from error
    except NegativeFinding as error:
        raise stopped(1, str(error)) from error
    except StoreUnavailable as error:
        raise stopped(1, f"{error}: {error.__cause__ or 'timeout'}") from error


def stopped(status: int, message: str) -> typer.Exit:
    """The end of the command, said on stderr."""
    typer.echo(f"llmguard keys: {message}", err=True)
    return typer.Exit(status)


def show(record: KeyRecord, secret: str, as_json: bool) -> None:
    """Print a key: itself alone on stdout, so that it can be piped; the rest on stderr."""
    if as_json:
        typer.echo(json.dumps({**keys.public(record), "key": secret}, indent=2))
        return
    expires = "until it is revoked" if record.expires_at is None else f"until {key_commands.date(record.expires_at)}"
    typer.echo(f"{record.id} for {record.user} of {record.tenant} under {record.policy}, {expires}.", err=True)
    typer.echo("The key is shown this once:", err=True)
    typer.echo(secret)
