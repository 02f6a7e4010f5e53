"""`llmguard risk`: show, pardon, pin, unpin and alerts, through the admin API of the running guard."""

import json
import sys
import time
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import quote

import typer
from rich.console import Console
from rich.table import Table

from llmguard.cli.keys import Config, Json, duration
from llmguard.cli.operator import Operator

PIPE_WIDTH = 200
"""Columns of a table that no terminal bounds: every field on one line."""
STRONGEST = 8
"""Signals that are shown to people."""
Scope = Annotated[
    Literal["key", "user", "tenant", "cluster"], typer.Argument(help="Who: key, user, tenant or cluster.")
]
Name = Annotated[str, typer.Argument(metavar="ID", help="Its id.")]
State = Annotated[
    Literal["normal", "throttled", "challenged", "degraded", "blocked"], typer.Argument(help="The state to hold it in.")
]

app = typer.Typer(help="Show and decide what automated prompt streams meet.", no_args_is_help=True)


@app.command()
def show(scope: Scope, id: Name, config: Config = None, as_json: Json = False) -> None:
    """Show the state, the evidence and the strongest signals."""
    tell(ask(config, "GET", scope, id), as_json)


@app.command()
def pardon(scope: Scope, id: Name, config: Config = None, as_json: Json = False) -> None:
    """Forget what is held against it; its evidence begins anew."""
    tell(ask(config, "POST", scope, id, "/pardon", {}), as_json)


@app.command()
def pin(
    scope: Scope,
    id: Name,
    state: State,
    last: Annotated[
        float | None, typer.Option("--for", parser=duration, metavar="DURATION", help="For so long only, such as 1d.")
    ] = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Hold it in a state, whatever its evidence says."""
    tell(ask(config, "POST", scope, id, "/pin", {"state": state, "for_s": last}), as_json)


@app.command()
def unpin(scope: Scope, id: Name, config: Config = None, as_json: Json = False) -> None:
    """Let its evidence decide again."""
    tell(ask(config, "DELETE", scope, id, "/pin"), as_json)


@app.command()
def alerts(
    limit: Annotated[int, typer.Option(min=1, max=1000, help="The most alerts.")] = 20,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Show the last changes of state, the newest first."""
    found = Operator("risk", config).ask("GET", f"alerts?limit={limit}")
    if as_json:
        typer.echo(json.dumps(found, indent=2))
        return
    table = Table("at", "who", "from", "to", "prompts", "log10 e", "members")
    for alert in found["data"]:
        state = f"{alert['state']} (excused)" if alert["excused"] else alert["state"]
        who, members = f"{alert['scope']} {alert['subject']}", str(len(alert["members"]) or "")
        figures = (str(alert["prompts"]), f"{alert['log10_e']:.1f}")
        table.add_row(shown(alert["at"]), who, alert["before"], state, *figures, members)
    console().print(table if found["data"] else "Nothing has changed yet.")


def ask(config: Path | None, method: str, scope: str, id: str, action: str = "", body: object = None) -> dict[str, Any]:
    """The guard's answer."""
    return Operator("risk", config).ask(method, f"risk/{scope}/{quote(id, safe='')}{action}", body)


def tell(risk: dict[str, Any], as_json: bool) -> None:
    """The answer as JSON or in words and a table."""
    if as_json:
        typer.echo(json.dumps(risk, indent=2))
        return
    out = console()
    pinned = ", pinned" if risk["pinned"] else ""
    excused = ", automation allowed" if risk["excused"] else ""
    out.print(f"{risk['scope']} {risk['id']}: {risk['state']}{pinned}{excused}")
    out.print(f"{risk['prompts']} prompts, log10 e {risk['log10_e']:.2f} of {risk['threshold_log10_e']:.2f}")
    if risk["flagged_at"] is not None:
        out.print(f"flagged {shown(risk['flagged_at'])}, after {risk['flagged_after_prompts']} prompts")
    if risk["cluster"] is not None:
        out.print(f"cluster {risk['cluster']}")
    table = Table("signal", "p", "e", "prompts")
    strongest = sorted(risk["signals"].items(), key=lambda item: -item[1]["e"])[:STRONGEST]
    for name, signal in strongest:
        table.add_row(name, f"{signal['p']:.2g}", f"{signal['e']:.3g}", str(signal["window"]))
    if strongest:
        out.print(table)


def shown(at: float) -> str:
    """A time for people, in UTC."""
    return time.strftime("%Y-%m-%d %H:%M:%SZ", time.gmtime(at))


def console() -> Console:
    """Where people read."""
    return Console(file=sys.stdout, width=None if sys.stdout.isatty() else PIPE_WIDTH)
