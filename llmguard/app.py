"""The only place that builds things: from settings to an ASGI application."""

import asyncio
import contextlib
import logging
import secrets
from collections.abc import Callable, Coroutine, Iterable, Mapping
from functools import partial

from llmguard.admin.channel import bounded, stamped
from llmguard.admin.site import admin_site
from llmguard.audit_log import AuditLog
from llmguard.catalogue import Catalogue
from llmguard.client_address import ClientAddress
from llmguard.clock import Clock
from llmguard.connection import Connection, Message, Receive, Scope, Send
from llmguard.control import Control
from llmguard.controls.audit import Audit
from llmguard.controls.authentication import Authentication
from llmguard.controls.decoding import Decoding
from llmguard.controls.embeddings import Embeddings
from llmguard.controls.endpoints import Endpoints
from llmguard.controls.hygiene import Hygiene
from llmguard.controls.logits import Logits
from llmguard.controls.measurement import Measurement
from llmguard.controls.models import Models
from llmguard.controls.obfuscation import Obfuscation
from llmguard.controls.prompts import Prompts
from llmguard.controls.provenance import Provenance
from llmguard.controls.quotas import Quotas
from llmguard.controls.sampling import Sampling
from llmguard.controls.scores import Scores
from llmguard.controls.validation import Validation
from llmguard.controls.watermark import Watermark
from llmguard.counters import Counters
from llmguard.errors import Denial
from llmguard.generation import Generation
from llmguard.guard import Guard
from llmguard.keyring import Keyring
from llmguard.keys import derive, pepper
from llmguard.metrics import Metrics
from llmguard.pace import Pace
from llmguard.quota.challenge import Challenges
from llmguard.recollection import Recollection
from llmguard.risk.build import build_desk, webhook_of
from llmguard.risk.desk import Desk
from llmguard.risk.meanwhile import Meanwhile
from llmguard.risk.outlet import Outlet
from llmguard.risk.standing import Standings
from llmguard.samples import Samples
from llmguard.services.embedder import Embedder
from llmguard.services.similarity import Similarity
from llmguard.settings import AnyUpstream, Settings
from llmguard.store import ledger_of, registry_of
from llmguard.store.ledger import Ledger
from llmguard.store.store import Store, StoreUnavailable
from llmguard.tenant_keys import TenantKeys
from llmguard.uploads import Uploads
from llmguard.upstreams.cache_partition import CachePartition
from llmguard.upstreams.forwarder import Forwarder
from llmguard.upstreams.upstream import TokenCounter, Upstream
from llmguard.wire.endpoint import Endpoint
from llmguard.wire.errors import error_body, error_headers
from llmguard.wire.routes import find

log = logging.getLogger(__name__)

SETTLE_S = 1.0
"""How long the end of the process waits for controls that still settle."""

DRAINING = Denial("overloaded", "The service is shutting down.", retry_after_s=1.0)


class App:
    """The ASGI application under these settings: hot routes ahead of everything, the rest in FastAPI.

    `upstreams` makes an upstream, not yet started, of its settings. Keeps no state of a
    request. What outlives a reload is here (store, audit log, metrics, unchanged upstreams);
    what does not is in a Generation.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        clock: Clock,
        store: Store,
        upstreams: Callable[[AnyUpstream], Upstream],
        audit: AuditLog,
        metrics: Metrics,
    ) -> None:
        self._clock = clock
        self._store = store
        self._build_upstream = upstreams
        self._audit = audit
        self._metrics = metrics
        self._secret = settings.secret.get_secret_value().encode()
        self._ledger = ledger_of(settings.store, store, clock)
        self._challenges = Challenges(derive(self._secret, "challenges"), clock, secrets.randbelow)
        self._standings = Standings()
        self._meanwhile = Meanwhile()
        self._outlet = Outlet(metrics, webhook_of(settings.alerts, clock, metrics))
        self._desk = self._build_desk(settings)
        self._recollection = Recollection(derive(self._secret, "phrases"), store.phrases, clock)
        self._tenant_keys = TenantKeys(derive(self._secret, "watermark"), lambda: registry_of(settings.store), clock)
        self._tasks: set[asyncio.Task[None]] = set()
        self._draining = False
        self._open: set[Upstream] = set()
        self._older: list[Generation] = []
        self._uploads = Uploads(settings.similarity.max_file_bytes)
        self._similarity = Similarity(
            settings,
            clock=clock,
            key=partial(derive, self._secret),
            embedder=Embedder(lambda: (self._generation.settings, self._generation.upstreams)),
            serving=lambda: self.settings,
        )
        self._generation = self._generate(settings, {}, {})
        self._site = admin_site(self)

    # --- what the admin site reads ---------------------------------------------------------

    @property
    def settings(self) -> Settings:
        """The settings in force."""
        return self._generation.settings

    @property
    def store(self) -> Store:
        """The store."""
        return self._store

    @property
    def ledger(self) -> Ledger:
        """The counters of quotas."""
        return self._ledger

    @property
    def desk(self) -> Desk | None:
        """Detection; None where nothing is watched."""
        return self._desk

    @property
    def clock(self) -> Clock:
        """The clock."""
        return self._clock

    @property
    def tenant_keys(self) -> TenantKeys:
        """The keys under which texts are marked."""
        return self._tenant_keys

    @property
    def recollection(self) -> Recollection:
        """What is remembered of answers."""
        return self._recollection

    @property
    def metrics(self) -> Metrics:
        """The metrics."""
        return self._metrics

    @property
    def keyring(self) -> Keyring:
        """The keyring in force."""
        return self._generation.keyring

    @property
    def samples(self) -> Samples | None:
        """The samples of prompts, where the settings in force keep some."""
        return self._samples(self.settings)

    @property
    def audit(self) -> AuditLog:
        """The audit log."""
        return self._audit

    @property
    def key_pepper(self) -> bytes:
        """What API keys are hashed with."""
        return pepper(self._secret)

    @property
    def running(self) -> int:
        """How many requests are being served, under any version of the settings."""
        return self._generation.running + sum(generation.running for generation in self._older)

    async def ready(self) -> bool:
        """Whether a request would be served now."""
        loaded = self._generation.counters.ready and all(each.ready for each in self._generation.upstreams.values())
        if self._draining or not loaded:
            return False
        try:
            await self._store.ping()
        except StoreUnavailable:
            return False
        return True

    # --- ASGI ------------------------------------------------------------------------------

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request, or the server's start and stop."""
        if scope["type"] == "http":
            endpoint = find(scope["method"], scope["path"])
            if endpoint is None:
                limit = self.settings.server.max_body_bytes
                await self._site(scope, bounded(scope, receive, limit), stamped(send, _new_id()))
            elif self._draining:
                await _refuse(send, DRAINING)
            else:
                await self._serve(endpoint, Connection(scope, receive, send))
        elif scope["type"] == "lifespan":
            await self._live(receive, send)
        else:
            raise RuntimeError(f"{scope['type']} is not served")

    async def _serve(self, endpoint: Endpoint, connection: Connection) -> None:
        self._metrics.begin()
        try:
            await self._generation.serve(endpoint, connection)
        except asyncio.CancelledError:
            # At the end of the process: the client was told, the controls have settled, and uvicorn
            # would only log a traceback.
            pass
        finally:
            self._metrics.end()

    async def _live(self, receive: Receive, send: Send) -> None:
        message: Message = {}
        while message.get("type") != "lifespan.shutdown":
            message = await receive()
            if message["type"] == "lifespan.startup":
                self._start(self._generation.upstreams.values())
                self._spawn(self._generation.counters.start())
                self._spawn(self._ledger.keep())
                self._spawn(self._similarity.keep())
                if self._desk is not None:
                    self._spawn(self._desk.run())
                if self._outlet.webhook is not None:
                    self._spawn(self._outlet.webhook.run())
                self._spawn(self._recollection.keep())
                await send({"type": "lifespan.startup.complete"})
        await self.close()
        await send({"type": "lifespan.shutdown.complete"})

    # --- life ------------------------------------------------------------------------------

    def reload(self, settings: Settings) -> None:
        """Put other settings in force for every request from now on; running ones end under theirs.

        What waits for a restart (`changed_needs_restart`) stays as it was.
        """
        old = self._generation
        listening = old.settings.server.model_dump(include={"host", "port", "workers"})
        settings = settings.model_copy(
            update={
                "secret": old.settings.secret,
                "store": old.settings.store,
                "alerts": old.settings.alerts,
                "similarity": old.settings.similarity,
                "server": settings.server.model_copy(update=listening),
            }
        )
        kept = {
            name: upstream
            for name, upstream in old.upstreams.items()
            if settings.upstreams.get(name) == old.settings.upstreams[name]
        }
        if self._desk is not None:
            self._desk.reload(settings)
        elif (desk := self._build_desk(settings)) is not None:
            self._desk = desk
            self._spawn(desk.run())
        self._generation = self._generate(settings, kept, old.counters.loaded)
        self._older = [generation for generation in (*self._older, old) if generation.running]
        self._start(upstream for name, upstream in self._generation.upstreams.items() if name not in kept)
        self._spawn(self._generation.counters.start())
        self._spawn(self._retire([old.upstreams[name] for name in old.upstreams if name not in kept]))

    def drain(self) -> None:
        """Refuse new requests; those that run may end."""
        self._draining = True

    async def close(self) -> None:
        """Let go of everything, once what was ended has settled; the audit log is written to its end."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(SETTLE_S):
                for generation in (*self._older, self._generation):
                    await generation.finished()
        with contextlib.suppress(StoreUnavailable):
            await self._recollection.flush()
        self._metrics.share()
        # Each is closed, whatever becomes of the others; from the last to the first.
        async with contextlib.AsyncExitStack() as stack:
            stack.callback(self._audit.close)
            stack.push_async_callback(self._store.close)
            if self._desk is not None:
                stack.push_async_callback(self._desk.close)
            for upstream in self._open:
                stack.push_async_callback(upstream.close)
            stack.push_async_callback(self._similarity.close)

    def _build_desk(self, settings: Settings) -> Desk | None:
        return build_desk(
            settings,
            ledger=self._ledger,
            standings=self._standings,
            outlet=self._outlet,
            metrics=self._metrics,
            clock=self._clock,
        )

    def _generate(
        self, settings: Settings, kept: Mapping[str, Upstream], counted: Mapping[str, TokenCounter]
    ) -> Generation:
        upstreams = {
            name: kept[name] if name in kept else self._build_upstream(upstream)
            for name, upstream in settings.upstreams.items()
        }
        self._open.update(upstreams.values())
        keyring = Keyring(settings.keys, self._store, self.key_pepper, self._clock)
        catalogue = Catalogue(settings, int(self._clock.time()))
        counters = Counters(settings.models, upstreams, counted)
        guard = Guard(
            self._controls(settings, keyring, catalogue, upstreams, counters),
            Forwarder(
                settings,
                upstreams,
                CachePartition(derive(self._secret, "prompt-caches"), settings.upstreams),
                self._metrics.upstream_failed,
            ),
            {**catalogue.services, **self._similarity.services},
            observe=settings.mode == "observe",
            address=ClientAddress(settings.server.trusted_proxies),
            pace=Pace(settings.policies, secrets.SystemRandom().random),
            clock=self._clock,
            new_id=_new_id,
        )
        return Generation(settings, guard, keyring, upstreams, counters)

    def _controls(
        self,
        settings: Settings,
        keyring: Keyring,
        catalogue: Catalogue,
        upstreams: Mapping[str, Upstream],
        counters: Counters,
    ) -> list[Control]:
        """The controls in their order: admitted from first to last, released and settled from last to first."""
        chance = secrets.SystemRandom().random
        return [
            Measurement(self._metrics),
            Audit(self._audit, self._clock),
            Authentication(settings, keyring),
            Endpoints(),
            Validation(settings, self._uploads),
            Models(catalogue, upstreams),
            Sampling(self._samples(settings), settings.samples.share if settings.samples else 0.0, chance),
            Embeddings(settings, derive(self._secret, "embeddings")),
            Decoding(settings, self._ledger),
            Watermark(settings, self._tenant_keys, chance),
            Provenance(self._recollection),
            Quotas(
                settings,
                self._ledger,
                self._challenges,
                upstreams,
                counters,
                self._metrics,
                self._standings,
                self._meanwhile,
                self._clock,
            ),
            Prompts(settings, self._desk, self._standings, self._meanwhile, self._challenges, upstreams, self._clock),
            Scores(settings, derive(self._secret, "scores"), self._ledger, self._meanwhile),
            Obfuscation(secrets.token_hex),
            Logits(derive(self._secret, "logits")),
            Hygiene(derive(self._secret, "tool-call-ids")),
        ]

    def _samples(self, settings: Settings) -> Samples | None:
        return Samples(settings.samples, derive(self._secret, "samples")) if settings.samples is not None else None

    def _start(self, upstreams: Iterable[Upstream]) -> None:
        for upstream in upstreams:
            self._spawn(upstream.start())

    async def _retire(self, upstreams: list[Upstream]) -> None:
        """Close upstreams once no request can be using them."""
        for generation in list(self._older):
            await generation.finished()
        self._older = [generation for generation in self._older if generation.running]
        for upstream in upstreams:
            await upstream.close()
            self._open.discard(upstream)

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        # Held until it ends, and cancelled by close(): it belongs to the application, not to a request.
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            log.error("%s", error)


async def _refuse(send: Send, denial: Denial) -> None:
    """Answer without a guard: only while shutting down."""
    body = error_body(denial)
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(body)),
        (b"x-request-id", b"req_" + _new_id().encode()),
        (b"connection", b"close"),
        *error_headers(denial),
    ]
    await send({"type": "http.response.start", "status": denial.row.status, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})


def _new_id() -> str:
    return secrets.token_hex(16)
