"""nginx as the cheapest fixed upstream, and as the physical limit of a relay: one process each, no master."""

import contextlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

from tests.benchmarks.process import Process, running
from tests.ports import HOST, free_port

CHUNKS = 200
WORDS = ("quick", "brown", "fox", "jumps", "over", "lazy", "dog", "seven", "small", "boats", "drift", "past", "harbour")
ANSWER = {
    "id": "chatcmpl-fixed",
    "object": "chat.completion",
    "created": 1700000000,
    "model": "mock",
    "choices": [
        {"index": 0, "message": {"role": "assistant", "content": f"{' '.join(WORDS)}. " * 2}, "finish_reason": "stop"}
    ],
    "usage": {"prompt_tokens": 25, "completion_tokens": 40, "total_tokens": 65},
}
FRAME = """
daemon off;
master_process off;
pid nginx.pid;
error_log stderr error;
events {{ worker_connections 8192; }}
http {{
  access_log off;
  keepalive_requests 100000000;
  open_file_cache max=16;
  client_body_temp_path body; proxy_temp_path proxy;
  fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi; scgi_temp_path scgi;
{servers}
}}
"""
UPSTREAM = """
  server {{
    listen {host}:{port};
    location = /ready {{ return 200 'ready'; }}
    location /json/ {{ default_type application/json; return 200 '{answer}'; }}
    location /sse/ {{
      types {{ }} default_type text/event-stream;
      root {root};
      error_page 405 =200 $uri;
    }}
  }}
"""
RELAY = """
  server {{
    listen {host}:{port};
    location = /ready {{ return 200 'ready'; }}
{locations}
  }}
"""
LOCATION = """
    location /{model}/ {{
      proxy_pass http://up_{model}{path}/;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_buffering {buffering};
    }}
"""


def events() -> bytes:
    """An answer of CHUNKS events, no two neighbours alike, then the finish reason, usage and the end."""
    head = {"id": "chatcmpl-fixed", "object": "chat.completion.chunk", "created": 1700000000, "model": "mock"}
    deltas = [({"content": f"{WORDS[n % len(WORDS)]} {n} "}, None) for n in range(CHUNKS)]
    chunks = [
        {**head, "choices": [{"index": 0, "delta": delta, "finish_reason": reason}]}
        for delta, reason in [*deltas, ({}, "stop")]
    ]
    usage = {"prompt_tokens": 25, "completion_tokens": CHUNKS, "total_tokens": 25 + CHUNKS}
    texts = [json.dumps(chunk) for chunk in [*chunks, {**head, "choices": [], "usage": usage}]]
    return "".join(f"data: {text}\n\n" for text in [*texts, "[DONE]"]).encode()


def nginx(directory: Path, servers: str, port: int) -> contextlib.AbstractContextManager[Process]:
    """One nginx process with those servers."""
    directory.mkdir()
    (directory / "nginx.conf").write_text(FRAME.format(servers=servers))
    command = ["nginx", "-e", "stderr", "-p", str(directory), "-c", str(directory / "nginx.conf")]
    return running(command, ready=f"http://{HOST}:{port}/ready", directory=directory, env=os.environ)


def installed() -> bool:
    """Whether nginx is on the path."""
    return shutil.which("nginx") is not None


@contextlib.contextmanager
def upstream(directory: Path) -> Iterator[Mapping[str, str]]:
    """A fixed upstream: the base URL of its plain answers as `mock`, of its streams as `burst`."""
    port = free_port()
    answer = directory / "answers" / "sse" / "v1" / "chat"
    answer.mkdir(parents=True)
    (answer / "completions").write_bytes(events())
    servers = UPSTREAM.format(host=HOST, port=port, answer=json.dumps(ANSWER), root=directory / "answers")
    with nginx(directory / "upstream", servers, port):
        yield {"mock": f"http://{HOST}:{port}/json/v1", "burst": f"http://{HOST}:{port}/sse/v1"}


def relay(directory: Path, upstreams: Mapping[str, str], port: int) -> contextlib.AbstractContextManager[Process]:
    """A bare relay: `/MODEL/chat/completions` goes to that upstream, over connections that are kept."""
    return nginx(directory, relay_servers(upstreams, port), port)


def relay_with_upstream(directory: Path, port: int) -> contextlib.AbstractContextManager[Process]:
    """The bare relay and its fixed upstream in one process: what a request costs nginx at both ends."""
    fixed = free_port()
    upstream = UPSTREAM.format(host=HOST, port=fixed, answer=json.dumps(ANSWER), root=directory)
    relay = relay_servers({"mock": f"http://{HOST}:{fixed}/json/v1"}, port)
    return nginx(directory, f"{upstream}\n{relay}", port)


def relay_servers(upstreams: Mapping[str, str], port: int) -> str:
    """The configuration of a bare relay."""
    blocks, locations = [], []
    for model, url in upstreams.items():
        address, _, path = url.removeprefix("http://").partition("/")
        blocks.append(f"  upstream up_{model} {{ server {address}; keepalive 64; }}")
        buffering = "off" if model == "paced" else "on"
        locations.append(LOCATION.format(model=model, path=f"/{path}", buffering=buffering))
    server = RELAY.format(host=HOST, port=port, locations="".join(locations))
    return "\n".join([*blocks, server])
