"""The command `llmguard`: what the subcommands hang on.

It must start quickly: nothing that is imported at its top may import a web framework.
"""

from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from pydantic import ValidationError

from llmguard.cli import config, embeddings, keys, lookup, quota, risk, vectors
from llmguard.settings import StoreSettings
from watermark.cli import main as watermark

if TYPE_CHECKING:
    from watermark.keys.registry import Registry

app = typer.Typer(
    name="llmguard",
    help="A guard in front of model endpoints that makes model extraction slow, expensive, visible and provable.",
    no_args_is_help=True,
    # A traceback with the values of variables would show secrets.
    pretty_exceptions_enable=False,
)
app.add_typer(config.app, name="config")
app.add_typer(embeddings.app, name="embeddings")
app.add_typer(keys.app, name="keys")
app.add_typer(quota.app, name="quota")
app.add_typer(risk.app, name="risk")
app.add_typer(vectors.app, name="vectors")
app.add_typer(watermark.app, name="watermark")
app.command("lookup")(lookup.lookup)


@app.command()
def serve(
    config: Annotated[Path | None, typer.Option(help="Settings file; without it everything is embedded.")] = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="Port to listen on; 0 takes a free one.")] = None,
    workers: Annotated[int | None, typer.Option(min=1, max=256, help="Processes; more than one needs Redis.")] = None,
    socket_fd: Annotated[int | None, typer.Option(hidden=True, help="A listening socket to take over.")] = None,
) -> None:
    """Serve the guarded models.

    SIGTERM drains, SIGHUP reloads the settings file. Audit lines go to stdout, everything else to stderr.
    """
    # The one command that needs the web framework, which takes a third of a second to import.
    from llmguard.cli.serve import run  # noqa: PLC0415

    raise typer.Exit(run(config, host=host, port=port, workers=workers, socket_fd=socket_fd))


@app.command()
def detect_worker(
    config: Annotated[Path, typer.Option(help="Settings file of the guards; its store is Redis.")],
    part: Annotated[str, typer.Option(help="Which share of the tenants, as N/M: the N-th of M workers.")] = "1/1",
    metrics_port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="A port of the loopback for Prometheus metrics.")
    ] = None,
) -> None:
    """Judge the prompts that guards on one Redis send: one worker for each share of the tenants.

    A second worker of the same share waits until the first one ends.
    """
    # numpy and redis, which no other command needs.
    from llmguard.cli.detect_worker import run  # noqa: PLC0415

    raise typer.Exit(run(config, part=part, metrics_port=metrics_port))


def opened(url: str) -> "Registry":
    """The registry of watermark keys beside a store in Redis."""
    # redis and the library's records: for whoever names a URL.
    from llmguard.store import registry_of  # noqa: PLC0415

    try:
        return registry_of(StoreSettings(url=url))
    except ValidationError as error:
        raise typer.BadParameter("is no URL of a Redis", param_hint="--registry") from error


def show_version(wanted: bool) -> None:
    """Print the version and stop."""
    if not wanted:
        return
    try:
        typer.echo(f"llmguard {version('llmguard')}")
    except PackageNotFoundError:
        typer.echo("llmguard (not installed)")
    raise typer.Exit


@app.callback()
def main(
    context: typer.Context,
    _: Annotated[
        bool, typer.Option("--version", callback=show_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Take the options that stand ahead of every command."""
    # What the watermark commands make of a registry's URL.
    context.obj = opened
