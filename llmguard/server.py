"""The process: uvicorn, with signals that drain and reload."""

import asyncio
import logging
import os
import signal
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import FrameType

import uvicorn

from llmguard.app import App
from llmguard.clock import Clock
from llmguard.http_protocol import HEAD_TIMEOUT_S, HttpProtocol
from llmguard.settings import Settings
from llmguard.settings_file import SettingsError
from llmguard.settings_reload import changed_needs_restart

log = logging.getLogger(__name__)

LAST_WORDS_S = 1
"""What is kept of the grace period for telling the clients of unfinished streams that they end, and settling."""


class Server(uvicorn.Server):
    """Serves one application in this process.

    SIGTERM and SIGINT drain: new requests get 503, running ones may end within
    `server.drain_s`; a second signal does not wait. SIGHUP, or with `server.reload` a change of the
    file, takes over its settings; a bad file leaves the old ones in force and says so. `on_ready` is
    awaited once, with the URL, when a request would be served for the first time. `parent` is a pipe
    whose end drains too: it comes when the parent process dies, however it dies.
    """

    def __init__(
        self,
        app: App,
        clock: Clock,
        *,
        load: Callable[[], Settings] | None = None,
        file: Path | None = None,
        on_ready: Callable[[str], Awaitable[None]] | None = None,
        parent: int | None = None,
    ) -> None:
        server = app.settings.server
        super().__init__(
            uvicorn.Config(
                app,
                host=server.host,
                port=server.port,
                loop="uvloop",
                http=HttpProtocol,
                ws="none",
                lifespan="on",
                log_config=None,
                access_log=False,
                proxy_headers=False,
                server_header=False,
                date_header=False,
                timeout_graceful_shutdown=LAST_WORDS_S,
                # Clients that keep connections for 5 s, as httpx does, close them first: none asks into a closing one.
                timeout_keep_alive=int(HEAD_TIMEOUT_S),
                backlog=2048,
            )
        )
        self._app = app
        self._clock = clock
        self._load = load
        self._file = file
        self._on_ready = on_ready
        self._parent = parent
        self._deadline: float | None = None
        self._reload_asked = False
        self._seen = self._stamp()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, take SIGHUP, and watch the parent."""
        await super().startup(sockets)
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGHUP, self._ask_reload)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})  # a worker is started with it blocked
        if self._parent is not None:
            loop.add_reader(self._parent, self._parent_ended, self._parent)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """The first signal drains, the second ends."""
        # Not kept for uvicorn, which would die of it at the end: to stop when told is a success.
        if self._deadline is not None:
            self._end_now()
        else:
            self._drain()

    def _drain(self) -> None:
        self._app.drain()
        self._deadline = self._clock.monotonic() + self._app.settings.server.drain_s - LAST_WORDS_S

    def _end_now(self) -> None:
        self.should_exit = True
        # Whoever still runs has had the grace period, or was refused it.
        self.config.timeout_graceful_shutdown = 0

    async def on_tick(self, counter: int) -> bool:
        """Ten times a second: end a drain, start a reload."""
        if self._deadline is not None and not self._app.running:
            self.should_exit = True
        elif self._deadline is not None and self._clock.monotonic() >= self._deadline:
            self._end_now()
        if counter % 10 == 0:
            self._app.metrics.share()
        if counter % 10 == 0 and self._app.settings.server.reload and self._stamp() != self._seen:
            self._reload_asked = True
        if self._on_ready is not None and await self._app.ready():
            on_ready, self._on_ready = self._on_ready, None
            await on_ready(self.url)
        if self._reload_asked:
            self._reload_asked = False
            await self._reload()
        return await super().on_tick(counter)

    @property
    def url(self) -> str:
        """Where it listens."""
        host, port = self.servers[0].sockets[0].getsockname()[:2]
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    def _ask_reload(self) -> None:
        self._reload_asked = True

    def _parent_ended(self, pipe: int) -> None:
        asyncio.get_running_loop().remove_reader(pipe)
        if self._deadline is None:
            log.error("the parent process has ended")
            self._drain()

    async def _reload(self) -> None:
        if self._load is None:
            log.warning("reload: there is no settings file; nothing changed")
            return
        self._seen = self._stamp()
        try:
            settings = await asyncio.to_thread(self._load)
        except SettingsError as error:
            log.error("reload: the file is not valid, the old settings stay in force\n%s", error)
            return
        for key in changed_needs_restart(self._app.settings, settings):
            log.warning("reload: %s has changed, which takes effect with a restart only", key)
        self._app.reload(settings)
        log.info("reload: new settings in force")

    def _stamp(self) -> tuple[int, int] | None:
        """What changes when the file does."""
        try:
            status = os.stat(self._file) if self._file is not None else None
        except OSError:
            return None
        return (status.st_mtime_ns, status.st_ino) if status else None
