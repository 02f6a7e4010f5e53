"""What is measured: llmguard, its peers and nginx, started alike in front of the same upstreams, one worker each."""

import contextlib
import json
import os
import secrets
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

from tests.benchmarks import nginx
from tests.benchmarks.peers import INSTALL, LITELLM, PORTKEY
from tests.benchmarks.process import Process, StartError, running
from tests.ports import HOST, free_port

REPOSITORY = Path(__file__).resolve().parents[2]
POLICY = {"models": ["*"]}
"""What llmguard enforces while it is measured."""


Limits = Mapping[str, object] | None


class AbsentError(Exception):
    """A target that is not installed here; the text says why."""


@dataclass(frozen=True, slots=True)
class Site:
    """Where targets run: a scratch directory, the client's key and, by model, the upstream's base URL."""

    directory: Path
    key: str
    upstreams: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Target:
    """A server under test: by model, the URL of its chat completions and the headers to send."""

    name: str
    process: Process
    urls: Mapping[str, str]
    headers: Mapping[str, Mapping[str, str]]


def bearer(site: Site, **more: str) -> dict[str, str]:
    """The headers of every request."""
    named = {name.replace("_", "-"): value for name, value in more.items()}
    return {"content-type": "application/json", "authorization": f"Bearer {site.key}", **named}


def openai_target(name: str, process: Process, port: int, site: Site) -> Target:
    """A target that is told everything by its configuration."""
    url = f"http://{HOST}:{port}/v1/chat/completions"
    return Target(name, process, dict.fromkeys(site.upstreams, url), dict.fromkeys(site.upstreams, bearer(site)))


@contextlib.contextmanager
def nginx_target(site: Site) -> Iterator[Target]:
    """nginx, which only relays."""
    port = free_port()
    with nginx.relay(site.directory / "nginx", site.upstreams, port) as process:
        urls = {model: f"http://{HOST}:{port}/{model}/chat/completions" for model in site.upstreams}
        yield Target("nginx", process, urls, dict.fromkeys(site.upstreams, bearer(site)))


@contextlib.contextmanager
def nginx_whole_target(site: Site) -> Iterator[Target]:
    """nginx as relay and as upstream in one process: the figure that the guard's target is a multiple of."""
    port = free_port()
    with nginx.relay_with_upstream(site.directory / "nginx_whole", port) as process:
        url = f"http://{HOST}:{port}/mock/chat/completions"
        yield Target("nginx+upstream", process, {"mock": url}, {"mock": bearer(site)})


def guard_settings(site: Site, port: int, home: Path, policy: object, store: Mapping[str, object]) -> dict[str, object]:
    """llmguard's settings: a key under a policy and one under POLICY, an OpenAI upstream for each model."""
    return {
        "secret": "env:LLMGUARD_SECRET",
        "server": {"host": HOST, "port": port},
        "store": {"url": f"file:{home / 'data'}", **store},
        "upstreams": {
            model: {"kind": "openai", "base_url": url, "api_key": "env:BENCH_UPSTREAM_KEY"}
            for model, url in site.upstreams.items()
        },
        "models": {model: {"task": "chat", "upstream": model, "model": "mock"} for model in site.upstreams},
        "policies": {"bench": policy, "plain": POLICY},
        "keys": [
            {"id": name, "secret": f"env:BENCH_KEY_{name.upper()}", "user": name, "tenant": name, "policy": name}
            for name in ("bench", "plain")
        ],
    }


def plain_key(site: Site) -> str:
    """The key under POLICY."""
    return f"{site.key}-plain"


def asked_plainly(target: Target, site: Site) -> Target:
    """The same running llmguard, asked with the key under POLICY."""
    headers = {model: {**sent, "authorization": f"Bearer {plain_key(site)}"} for model, sent in target.headers.items()}
    return replace(target, name=f"{target.name}, no limits", headers=headers)


def guard_env(site: Site) -> dict[str, str]:
    """The environment that llmguard's settings refer to."""
    ours = {"LLMGUARD_SECRET": secrets.token_hex(32), "BENCH_UPSTREAM_KEY": "upstream"}
    keys = {"BENCH_KEY_BENCH": site.key, "BENCH_KEY_PLAIN": plain_key(site)}
    return {**os.environ, **ours, **keys, "PYTHONPATH": str(REPOSITORY)}


@contextlib.contextmanager
def guard_target(
    site: Site,
    *flags: str,
    name: str = "llmguard",
    policy: object = POLICY,
    store: Mapping[str, object] = MappingProxyType({}),
    under: Sequence[str] = (),
) -> Iterator[Target]:
    """llmguard, its audit lines thrown away; `flags` are the interpreter's, `store` more settings than a file's.

    `under` is a command that runs it.
    """
    port, home = free_port(), site.directory / name
    home.mkdir(exist_ok=True)
    config = home / "llmguard.yaml"
    config.write_text(json.dumps(guard_settings(site, port, home, policy, store)))
    serve = ["-m", "llmguard", "serve", "--config", str(config), "--host", HOST, "--port", str(port)]
    ready = f"http://{HOST}:{port}/health/ready"
    with running([*under, sys.executable, *flags, *serve], ready=ready, directory=home, env=guard_env(site)) as process:
        yield openai_target(name, process, port, site)


@contextlib.contextmanager
def asgi_target(site: Site, *, name: str = "asgi") -> Iterator[Target]:
    """An application that answers with 1 KB of JSON, on uvicorn as the guard is: what a machine takes for no work."""
    port, home = free_port(), site.directory / name
    home.mkdir()
    options = ["--loop=uvloop", "--http=httptools", "--no-access-log", "--log-level=error", f"--app-dir={REPOSITORY}"]
    served = ["tests.benchmarks.asgi:app", f"--host={HOST}", f"--port={port}"]
    command = [sys.executable, "-m", "uvicorn", *options, *served]
    with running(command, ready=f"http://{HOST}:{port}/", directory=home, env=dict(os.environ)) as process:
        yield openai_target(name, process, port, site)


@contextlib.contextmanager
def litellm_target(
    site: Site, *, name: str = "litellm", limits: Limits = None, more: Limits = None
) -> Iterator[Target]:
    """LiteLLM's proxy, without a database, without telemetry; `limits` of each model, `more` of the settings."""
    if not LITELLM.exists():
        raise AbsentError(f"LiteLLM is not installed; {INSTALL}")
    port, home = free_port(), site.directory / name
    home.mkdir()
    models = [
        {
            "model_name": model,
            "litellm_params": {"model": "openai/mock", "api_base": url, "api_key": "upstream", **dict(limits or {})},
        }
        for model, url in site.upstreams.items()
    ]
    config = home / "config.yaml"
    general = {"general_settings": {"master_key": site.key}, "litellm_settings": {"telemetry": False}}
    config.write_text(json.dumps({"model_list": models, **general, **dict(more or {})}))
    command = [str(LITELLM), "--config", str(config), "--host", HOST, "--port", str(port), "--num_workers", "1"]
    env = {**os.environ, "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
    ready = f"http://{HOST}:{port}/health/liveliness"
    with running(command, ready=ready, directory=home, env=env) as process:
        yield openai_target(name, process, port, site)


@contextlib.contextmanager
def portkey_target(site: Site) -> Iterator[Target]:
    """Portkey's gateway, which learns the upstream from each request's headers."""
    node = shutil.which("node")
    if node is None or not PORTKEY.exists():
        raise AbsentError(f"Portkey is not installed; {INSTALL}")
    port, home = free_port(), site.directory / "portkey"
    home.mkdir()
    command = [node, str(PORTKEY), f"--port={port}", "--headless"]
    with running(command, ready=f"http://{HOST}:{port}/", directory=home, env=os.environ) as process:
        headers = {
            model: bearer(site, x_portkey_provider="openai", x_portkey_custom_host=url)
            for model, url in site.upstreams.items()
        }
        url = f"http://{HOST}:{port}/v1/chat/completions"
        yield Target("portkey", process, dict.fromkeys(site.upstreams, url), headers)


START: Mapping[str, Callable[[Site], contextlib.AbstractContextManager[Target]]] = {
    "nginx": nginx_target,
    "nginx+upstream": nginx_whole_target,
    "llmguard": guard_target,
    "litellm": litellm_target,
    "portkey": portkey_target,
}

RELAYS = ("nginx", "llmguard", "litellm", "portkey")
"""Those that serve every upstream."""


@contextlib.contextmanager
def started(site: Site, names: Sequence[str]) -> Iterator[tuple[list[Target], dict[str, str]]]:
    """The targets that run, and why each of the others does not."""
    targets: list[Target] = []
    missing: dict[str, str] = {}
    with contextlib.ExitStack() as stack:
        for name in names:
            try:
                targets.append(stack.enter_context(START[name](site)))
            except (AbsentError, StartError) as error:
                missing[name] = str(error)
        yield targets, missing
