"""What `llmguard detect-worker` does: it judges prompts for the guards that share a Redis."""

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

import typer
from prometheus_client import start_http_server

from llmguard.clock import SystemClock
from llmguard.metrics import Metrics
from llmguard.mistakes import SettingsError
from llmguard.risk.build import build_worker
from llmguard.risk.post import PARTS
from llmguard.settings import Settings
from llmguard.settings_file import load
from llmguard.store import open_store
from llmguard.store.redis_client import open_client
from llmguard.upstreams.embedded.process import ENVIRONMENT

log = logging.getLogger("llmguard")


def run(config: Path, *, part: str, metrics_port: int | None) -> int:
    """Work until a signal ends it; the exit code."""
    os.environ.update(ENVIRONMENT)  # before FAISS and torch are loaded, which read it
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    logging.getLogger("faiss").setLevel(logging.WARNING)  # which of its builds was loaded
    try:
        parts = parts_of(part)
        settings = load(config, os.environ)
        if settings.store.local:
            raise ValueError("the store is of one process, which detects by itself; workers are for redis:// stores")
        metrics = Metrics()
        if metrics_port is not None:
            start_http_server(metrics_port, "127.0.0.1", registry=metrics.registry())
        asyncio.run(work(settings, parts, metrics))
    except (SettingsError, ValueError, OSError) as error:
        typer.echo(f"llmguard detect-worker: {error}", err=True)
        return 2
    return 0


async def work(settings: Settings, parts: Sequence[int], metrics: Metrics) -> None:
    """Work on these parts until SIGTERM or SIGINT, then let others have them."""
    clock = SystemClock()
    store, client = open_store(settings.store, clock=clock), open_client(settings.store.url)
    worker = build_worker(settings, parts, client, store.ledger, metrics, clock)
    loop = asyncio.get_running_loop()
    tasks = [loop.create_task(worker.run())]  # awaited below, whatever ends it
    if worker.webhook is not None:
        tasks.append(loop.create_task(worker.webhook.run()))
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, lambda: [task.cancel() for task in tasks])
    log.info("judging the prompts of %d of %d parts", len(parts), PARTS)
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await worker.release()
        await client.close()
        await store.close()


def parts_of(part: str) -> list[int]:
    """`2/4`: the parts of the second of four workers; raises ValueError."""
    number, _, count = part.partition("/")
    if not (number.isdecimal() and count.isdecimal() and 1 <= int(number) <= int(count) <= PARTS):
        raise ValueError(f"--part is N/M: the N-th of M workers, M at most {PARTS}")
    return list(range(int(number) - 1, PARTS, int(count)))
