"""What the settings ask for is built: the webhook over a real socket, the desk only where something is watched."""

import asyncio
import hashlib
import hmac
from base64 import b64encode

import pytest
from aiohttp import web

from llmguard.clock import SystemClock
from llmguard.metrics import Metrics
from llmguard.risk.build import largest_alpha, watched, webhook_of
from llmguard.settings import Alerts, Settings
from tests.guarded import settings
from tests.risk.test_webhook import alert

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("path", ["", "/hooks/guard"])
async def test_an_alert_arrives_signed(path: str) -> None:
    received: asyncio.Queue[tuple[str, dict[str, str], bytes]] = asyncio.Queue()

    async def take(request: web.Request) -> web.Response:
        await received.put((request.path, dict(request.headers), await request.read()))
        return web.Response(status=204)

    application = web.Application()
    application.router.add_route("*", "/{tail:.*}", take)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    alerts = Alerts.model_validate({"webhook": f"http://127.0.0.1:{port}{path}", "secret": "hook-secret"})
    webhook = webhook_of(alerts, SystemClock(), Metrics())
    assert webhook is not None
    webhook.send(alert("alert_1"))
    async with asyncio.timeout(20):
        await webhook.deliver()
        where, headers, body = await received.get()
    await runner.cleanup()
    assert where == (path or "/")
    told = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    assert headers["webhook-signature"] == "v1," + b64encode(
        hmac.new(b"hook-secret", told, hashlib.sha256).digest()
    ).decode("ascii")


def with_prompts(**policies: object) -> Settings:
    """Settings with these `prompts` of policies."""
    found = {name: {"prompts": prompts} if prompts is not None else {} for name, prompts in policies.items()}
    return settings(policies={"public": {}, "narrow": {}, **found})


def test_without_a_secret_there_is_no_webhook() -> None:
    assert webhook_of(Alerts(), SystemClock(), Metrics()) is None


def test_what_is_watched() -> None:
    assert not watched(with_prompts(a=None))
    assert not watched(with_prompts(a={"detect": False}))
    assert watched(with_prompts(a={"detect": False}, b={}))


def test_the_first_to_flag_decides_what_the_clusters_flag_at() -> None:
    assert largest_alpha(with_prompts(a={}, b={"alpha": 0.01}, c={"alpha": 0.5, "detect": False})) == 0.01
    assert largest_alpha(with_prompts()) == 0.001
