"""What `llmguard serve` does."""

import gc
import logging
import os
import socket
import sys
from functools import partial
from pathlib import Path

import typer

from llmguard.app import App
from llmguard.audit_log import AuditLog
from llmguard.cli.workers import METRICS_FOLDER, serve_with_workers
from llmguard.clock import SystemClock
from llmguard.defaults import default_settings
from llmguard.issuer import Issuer
from llmguard.keys import pepper
from llmguard.metrics import Metrics
from llmguard.mistakes import Mistake, SettingsError
from llmguard.server import Server
from llmguard.settings import Server as ServerSettings
from llmguard.settings import Settings
from llmguard.settings_file import load
from llmguard.store import open_store
from llmguard.store.store import Store, StoreUnavailable
from llmguard.unenforced import unenforced
from llmguard.upstreams.build import build_upstream

log = logging.getLogger("llmguard")

DIRECTORY = Path("llmguard-data")
FIRST_KEY_DAYS = 7


class CannotListen(Exception):
    """The address is taken, or is not this machine's."""


def run(config: Path | None, *, host: str | None, port: int | None, workers: int | None, socket_fd: int | None) -> int:
    """Serve until a signal ends it; the exit code."""
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    for name in ("uvicorn", "faiss"):  # how it listens, which of its builds was loaded
        logging.getLogger(name).setLevel(logging.WARNING)
    read = partial(_read, config, host=host, port=port, workers=workers)
    try:
        settings = read()
        listening = _listen(settings.server) if socket_fd is None else socket.socket(fileno=socket_fd)
        if settings.server.workers > 1 and socket_fd is None:
            return serve_with_workers(settings.server.workers, listening, config)
        store = open_store(settings.store, clock=SystemClock())
    except (SettingsError, StoreUnavailable, CannotListen) as error:
        typer.echo(f"{config or 'llmguard'}: {error}", err=True)
        return 2
    _warn(settings)
    server = _server(settings, store, config, read, parent=None if socket_fd is None else sys.stdin.fileno())
    tame_collector()
    server.run(sockets=[listening])
    return 0


def tame_collector() -> None:
    """Have the garbage collector hold the event loop up for some 3 ms at a time, whatever is kept.

    What is imported and built by now lives as long as the process. The collector need not walk it again and again: that
    cost a quarter of the CPU under load, and pauses of 50 ms. Requests leave next to no cycles, so it may look for them
    more rarely: after 700 new objects at a time it took 3 % of a stream's CPU. But it looks at 10,000 at most: all
    that came with 30,000 new keys, at once, took a quarter of a second. A pass over everything is left for when there
    are ten million objects more than were freed: by then something leaks.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(5_000, 0, 1_000)


def _listen(server: ServerSettings) -> socket.socket:
    """The listening socket; raises CannotListen."""
    family = socket.AF_INET6 if ":" in server.host else socket.AF_INET
    try:
        return socket.create_server((server.host, server.port), family=family, backlog=2048)
    except OSError as error:
        raise CannotListen(f"cannot listen on {server.host}: {error.strerror}") from error


def _server(
    settings: Settings, store: Store, config: Path | None, read: "partial[Settings]", *, parent: int | None
) -> Server:
    clock = SystemClock()
    cache = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "llmguard"
    app = App(
        settings,
        clock=clock,
        store=store,
        upstreams=partial(build_upstream, cache=cache),
        audit=AuditLog(sys.stdout.fileno()),
        metrics=Metrics(Path(os.environ[METRICS_FOLDER]) if METRICS_FOLDER in os.environ else None),
    )
    if config is None:
        return Server(app, clock, on_ready=partial(_welcome, settings, store), parent=parent)
    return Server(app, clock, load=read, file=config, parent=parent)


def _read(config: Path | None, *, host: str | None, port: int | None, workers: int | None) -> Settings:
    """The file, or the defaults; what the command line says goes before both."""
    settings = default_settings(DIRECTORY) if config is None else load(config, os.environ)
    said = {"host": host, "port": port, "workers": workers}
    server = settings.server.model_copy(update={name: value for name, value in said.items() if value is not None})
    if server.workers > 1 and settings.store.local:
        raise SettingsError((Mistake(None, "server.workers", "must be 1 with a local store; use Redis for more"),))
    return settings.model_copy(update={"server": server})


def _warn(settings: Settings) -> None:
    """Say what this process does not protect, although its file may look so."""
    for notice in unenforced(settings):
        log.warning("%s", notice)
    if settings.mode == "observe":
        log.warning("mode: observe refuses nothing that can be forwarded, not even a request without a key")


async def _welcome(settings: Settings, store: Store, url: str) -> None:
    """Issue a key for the first days with the guard, and show how to use it."""
    issuer = Issuer(store, pepper(settings.secret.get_secret_value().encode()), SystemClock())
    _, key = await issuer.issue("local", "local", "public", FIRST_KEY_DAYS * 86400.0)
    body = '{"model": "smollm2", "messages": [{"role": "user", "content": "Why is the sky blue?"}]}'
    typer.echo(
        f"\nllmguard is ready at {url}/v1\n\n"
        f"API key (for {FIRST_KEY_DAYS} days): {key}\n\n"
        f"  curl {url}/v1/chat/completions \\\n"
        f"    -H 'Authorization: Bearer {key}' \\\n"
        f"    -H 'Content-Type: application/json' \\\n"
        f"    -d '{body}'\n"
    )
    sys.stdout.flush()
