"""Every mistake of a settings file is told, with its line and key, and no secret with it."""

import re
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from pydantic import SecretStr

from llmguard.mistakes import Mistake, SettingsError
from llmguard.settings import LiteLLMUpstream, OpenAIUpstream, Settings
from llmguard.settings_file import MAX_BYTES, load, parse
from llmguard.settings_policies import Limit

EXAMPLE = Path(__file__).parent / "example.yaml"
SECRETS = {
    "LLMGUARD_SECRET": "master-secret-of-forty-bytes-0123456789a",
    "LLMGUARD_ADMIN_TOKEN": "admin-token-0123456789",
    "UPSTREAM_KEY": "upstream-key-0123456789",
    "ANTHROPIC_API_KEY": "anthropic-key-0123456789",
    "ALICE_KEY": "alice-key-0123456789",
    "REDIS_URL": "redis://user:redis-password-0123456789@localhost:6379/0",
}
ENVIRON = {**SECRETS, "EMPTY": "", "SPACED": "hunter2 hunter2", "SHORT": "hunter2", "JUNK": "hunter2"}

BASE = {
    "secret": "secret: env:LLMGUARD_SECRET",
    "server": "server: {port: 8080}",
    "store": "store: {url: 'memory:'}",
    "upstreams": "upstreams:\n  up: {kind: openai, base_url: 'http://127.0.0.1:9/v1'}\n  own: {kind: embedded}",
    "models": "models:\n  chat-a: {task: chat, upstream: up, model: x}\n  chat-b: {task: chat, upstream: up, model: y}",
    "policies": "policies:\n  public: {}",
    "keys": "keys: []",
}


def text(**sections: str) -> str:
    """A valid file with some sections in place of its own."""
    return "\n".join({**BASE, **sections}.values()) + "\n"


def mistakes(content: str | bytes) -> tuple[Mistake, ...]:
    """The mistakes of a file that must have some."""
    with pytest.raises(SettingsError) as caught:
        parse(content.encode() if isinstance(content, str) else content, ENVIRON)
    return caught.value.mistakes


def expected(content: str) -> list[tuple[int, str]]:
    """The line and key of every `# <- key` in a file."""
    return [
        (number, key)
        for number, line in enumerate(content.splitlines(), 1)
        for _, marked, keys in [line.partition("# <- ")]
        if marked
        for key in keys.split()
    ]


BROKEN = {
    "unknown key": text(extra="modus: enforce   # <- modus"),
    "unknown key in a section": text(server="server:\n  port: 1\n  prot: 2   # <- server.prot"),
    "unknown key of an upstream": text(
        upstreams="upstreams:\n  up:\n    kind: litellm\n    apikey: x  # <- upstreams.up.apikey"
    ),
    "unknown key of a limit": text(
        policies="policies:\n  public:\n    limits:\n      - {per: key, of: requests, limit: 1}\n"
        "      - {per: key, of: requests, limit: 1, evry: 1m}  # <- policies.public.limits[1].evry"
    ),
    "unknown key of decoding": text(
        policies="policies:\n  p:\n    decoding: {top_p: 1}  # <- policies.p.decoding.top_p"
    ),
    "duplicate key": text(server="server:\n  port: 1\n  port: 2   # <- server.port"),
    "duplicate section": text(extra="policies: {}   # <- policies"),
    "duplicate model": text(
        models="models:\n  a: {task: chat, upstream: up, model: x}\n  a: {task: rerank}  # <- models.a"
    ),
    "mode": text(extra="mode: enforced  # <- mode"),
    "text for a number": text(server="server:\n  port: '8080'  # <- server.port"),
    "truth for a number": text(server="server:\n  workers: true  # <- server.workers"),
    "fraction for a whole number": text(server="server: {port: 80.5}  # <- server.port"),
    "number for text": text(server="server: {host: 1}  # <- server.host"),
    "text for truth": text(server="server: {reload: 'yes'}  # <- server.reload"),
    "nothing for a section": text(server="server:  # <- server"),
    "list for a section": text(server="server: [1]  # <- server"),
    "mapping for a list": text(keys="keys: {}  # <- keys"),
    "text for an upstream": text(upstreams="upstreams:\n  own: {kind: embedded}\n  up: x  # <- upstreams.up"),
    "not a number": text(server="server: {drain_s: .nan}  # <- server.drain_s"),
    "endless": text(server="server: {drain_s: .inf}  # <- server.drain_s"),
    "port too high": text(server="server: {port: 65536}  # <- server.port"),
    "a very long number": text(server=f"server: {{port: {'9' * 5000}}}  # <- server.port"),
    "workers below one": text(server="server: {workers: 0}  # <- server.workers"),
    "proxy": text(
        server="server:\n  trusted_proxies:\n    - 10.0.0.0/8\n    - 10.0.0.0/33  # <- server.trusted_proxies[1]"
    ),
    "duration": text(server="server: {drain_s: 1 month}  # <- server.drain_s"),
    "duration below zero": text(server="server: {drain_s: -1}  # <- server.drain_s"),
    "duration of nothing": text(server="server: {drain_s: 0s}  # <- server.drain_s"),
    "duration beyond reason": text(server="server: {drain_s: 999999w}  # <- server.drain_s"),
    "temperature": text(
        policies="policies:\n  p: {decoding: {min_temperature: 3}}  # <- policies.p.decoding.min_temperature"
    ),
    "top_k": text(policies="policies:\n  p: {decoding: {min_top_k: 0}}  # <- policies.p.decoding.min_top_k"),
    "scores": text(policies="policies:\n  p: {outputs: {scores: some}}  # <- policies.p.outputs.scores"),
    "respond": text(
        policies="policies:\n  p:\n    prompts:\n      respond: [block, shout]  # <- policies.p.prompts.respond[1]"
    ),
    "context width": text(
        policies="policies:\n  p: {watermark: {context_width: 9}}  # <- policies.p.watermark.context_width"
    ),
    "endpoint": text(policies="policies:\n  p: {endpoints: [chat, chats]}  # <- policies.p.endpoints[1]"),
    "missing secret": text(secret="mode: enforce  # <- secret"),
    "missing key of a model": text(models="models:\n  a:  # <- models.a.model\n    task: chat\n    upstream: up"),
    "unknown kind": text(upstreams="upstreams:\n  up: {kind: opnai}  # <- upstreams.up.kind\n  own: {kind: embedded}"),
    "no kind": text(upstreams="upstreams:\n  up: {}  # <- upstreams.up.kind"),
    "no base_url": text(upstreams="upstreams:\n  up: {kind: openai}  # <- upstreams.up.base_url"),
    "base_url with a password": text(
        upstreams="upstreams:\n  up:\n    kind: openai\n    base_url: http://u:hunter2@h/  # <- upstreams.up.base_url"
    ),
    "base_url with a broken port": text(
        upstreams="upstreams:\n  up:\n    kind: openai\n    base_url: http://u:hunter2/@h  # <- upstreams.up.base_url"
    ),
    "unset variable": text(extra="admin: {token: env:NOWHERE}  # <- admin.token"),
    "empty variable": text(extra="admin:\n  token: env:EMPTY  # <- admin.token"),
    "variable without a name": text(extra="admin: {token: 'env:'}  # <- admin.token"),
    "token with a space": text(extra="admin: {token: env:SPACED}  # <- admin.token"),
    "short secret": text(secret="secret: env:SHORT  # <- secret"),
    "short secret in the clear": text(secret="secret: hunter2  # <- secret"),
    "unquoted secret of digits": text(secret="secret: 12345678901234567890123456789012  # <- secret"),
    "secret for a place without secrets": text(
        models="models:\n  a: {task: chat, upstream: up, model: env:X}  # <- models.a.model"
    ),
    "unset variable of an upstream": text(
        upstreams="upstreams:\n  up: {kind: litellm, api_key: env:NOWHERE}  # <- upstreams.up.api_key"
    ),
    "unknown store": text(store="store: {url: 'mysql://u:hunter2@h'}  # <- store.url"),
    "store that is no URL": text(store="store: {url: env:JUNK}  # <- store.url"),
    "store without a host": text(store="store: {url: 'redis:'}  # <- store.url"),
    "store without a directory": text(store="store: {url: 'file:'}  # <- store.url"),
    "unset variable of the store": text(store="store: {url: env:NOWHERE}  # <- store.url"),
    "replicas without redis": text(store="store:\n  url: 'memory:'\n  replicas: 2  # <- store.replicas"),
    "replicas with the default store": text(store="store: {replicas: 2}  # <- store.replicas"),
    "workers with a local store": text(
        server="server: {workers: 2}  # <- server.workers",
        upstreams="upstreams: {up: {kind: litellm}}",
    ),
    "workers with an embedded upstream": text(
        server="server: {workers: 2}  # <- server.workers", store="store: {url: env:REDIS_URL}"
    ),
    "vector stores of several processes": text(
        store="store: {url: 'redis://r', replicas: 2}",
        extra="similarity: {directory: here}  # <- similarity.directory",
    ),
    "similarity model that is not there": text(extra="similarity: {model: chat}  # <- similarity.model"),
    "similarity model that does not embed": text(extra="similarity: {model: chat-a}  # <- similarity.model"),
    "answers that say more without a reason": text(
        policies="policies:\n  p:\n    similarity: {top_k: 20}  # <- policies.p.similarity"
    ),
    "edges that do not rise": text(
        policies="policies:\n  p:\n    similarity: {edges: [0.5, 0.5]}  # <- policies.p.similarity"
    ),
    "upstream that is not there": text(
        models="models:\n  a:\n    task: chat\n    upstream: upp  # <- models.a.upstream\n    model: x"
    ),
    "fallback that is not there": text(
        models="models:\n  a: {task: chat, upstream: up, model: x, fallbacks: [b]}  # <- models.a.fallbacks[0]"
    ),
    "tokenizer that is not there": text(
        models="models:\n  a: {task: chat, upstream: up, model: x, tokenizer: /none.json}  # <- models.a.tokenizer"
    ),
    "fallback to itself": text(
        models="models:\n  a: {task: chat, upstream: up, model: x, fallbacks: [a]}  # <- models.a.fallbacks[0]"
    ),
    "fallback to another task": text(
        models="models:\n  b: {task: rerank, upstream: up, model: x}\n"
        "  a: {task: chat, upstream: up, model: x, fallbacks: [b]}  # <- models.a.fallbacks[0]"
    ),
    "fallbacks in a circle": text(
        models="models:\n"
        "  a: {task: chat, upstream: up, model: x, fallbacks: [b]}  # <- models.a.fallbacks[0]\n"
        "  b: {task: chat, upstream: up, model: x, fallbacks: [c]}  # <- models.b.fallbacks[0]\n"
        "  c: {task: chat, upstream: up, model: x, fallbacks: [a]}  # <- models.c.fallbacks[0]\n"
        "  d: {task: chat, upstream: up, model: x, fallbacks: [a]}"
    ),
    "embedded model that is not": text(
        models="models:\n  a: {task: chat, upstream: own, model: gpt}  # <- models.a.model"
    ),
    "embedded model for another task": text(
        models="models:\n  a: {task: chat, upstream: own, model: all-minilm-l6-v2}  # <- models.a.task"
    ),
    "pattern without a model": text(
        policies="policies:\n  p:\n    models:\n      - chat-*\n      - gpt-*  # <- policies.p.models[1]"
    ),
    "pattern of a limit without a model": text(
        policies="policies:\n  p:\n    limits:\n"
        "      - {per: key, of: requests, limit: 1, models: [gpt]}  # <- policies.p.limits[0].models[0]"
    ),
    "key under no policy": text(
        keys="keys:\n  - {id: a, secret: s1, user: u, tenant: t, policy: p}  # <- keys[0].policy"
    ),
    "two keys of one id": text(
        keys="keys:\n  - {id: a, secret: s1, user: u, tenant: t, policy: public}\n"
        "  - {id: a, secret: s2, user: u, tenant: t, policy: public}  # <- keys[1].id"
    ),
    "two keys of one secret": text(
        keys="keys:\n  - {id: a, secret: alice-key-0123456789, user: u, tenant: t, policy: public}\n"
        "  - {id: b, secret: env:ALICE_KEY, user: u, tenant: t, policy: public}  # <- keys[1].secret"
    ),
    "tag": text(extra="mode: !!python/object/apply:os.system [x]  # <- mode"),
    "tag on a scalar": text(extra="mode: !hunter2 enforce  # <- mode"),
    "tag that lies": text(server="server: {port: !!int x}  # <- server.port"),
    "half a character": text(extra='mode: "\\uD800"  # <- mode'),
    "list for a key": text(server="server:\n  ? [a, b]  # <- server\n  : 1"),
    "alias in itself": text(policies="policies:\n  p:\n    models: &m\n      - *m  # <- policies.p.models[0]"),
    "merge of text": text(server='server:\n  <<: x  # <- server["<<"]'),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_file(name: str) -> None:
    content = BROKEN[name]
    found = mistakes(content)
    assert [(mistake.line, mistake.key) for mistake in found] == expected(content), found
    assert all(mistake.message and "hunter2" not in str(mistake) for mistake in found)


@pytest.mark.parametrize(
    ("content", "line", "message"),
    [
        ("secret: [\n", 2, "is not YAML"),
        ("a: 1\nb: c: d\n", 2, "is not YAML"),
        ("a: 1\nsecret: *hunter2\n", 2, "is not YAML: found undefined alias"),
        ("a: 1\nsecret: !hunter2!x y\n", 2, "is not YAML: while parsing a node, found undefined tag handle"),
        ("a: 1\nsecret: @hunter2\n", 2, "is not YAML"),
        ("a: 1\nsecret: \"hunter2\\q\"\n", 2, "is not YAML"),
        ("a: 1\n\tb: 2\n", 2, "is not YAML"),
        ("a: 1\nb: \x07\n", 2, "is not YAML: a character that may not stand in it"),
        ("a: 1\n---\nb: 1\n", 2, "is not YAML: expected a single document"),
        ("a:\n" + "[" * 100, 2, "is nested more than 32 deep"),
        ("- x\n" * 60_000, None, "has more than 50000 values"),
        ("- x\n", 1, "must be a mapping"),
        ("x", 1, "must be a mapping"),
        (b"a: 1\nb: \xff\n", 2, "is not UTF-8"),
        (b"#" * (MAX_BYTES + 1), None, f"is larger than {MAX_BYTES} bytes"),
    ],
)  # fmt: skip
def test_file_that_is_no_settings_at_all(content: str | bytes, line: int | None, message: str) -> None:
    first = mistakes(content)[0]
    assert (first.line, first.key) == (line, "")
    assert first.message.startswith(message)
    assert "hunter2" not in str(first)


def test_empty_file_lacks_what_is_required() -> None:
    assert [m.key for m in mistakes("# nothing\n")] == ["secret", "upstreams", "models", "policies"]


def test_all_mistakes_are_told_in_the_order_of_the_file() -> None:
    content = """\
mode: loose                              # <- mode
secret: env:NOWHERE                      # <- secret
server: {port: 1, port: 2, wrkers: 2}    # <- server.port server.wrkers
store: {url: "file:x", replicas: 3}      # <- store.replicas
upstreams:
  up: {kind: openai, engine: x, base_url: "http://h"}    # <- upstreams.up.engine
models:
  a: {task: chat, upstream: upp, model: x}               # <- models.a.upstream
policies:
  public:
    models: [b*]                                         # <- policies.public.models[0]
    limits:
      - {per: key, of: requests, limit: -1}              # <- policies.public.limits[0].limit
      - per: key
        of: requets                                      # <- policies.public.limits[1].of
        limit: 1
        every: soon                                      # <- policies.public.limits[1].every
keys:
  - {id: a, secret: x, user: u, tenant: t, policy: pblic}    # <- keys[0].policy
"""
    assert [(m.line, m.key) for m in mistakes(content)] == expected(content)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (text(server="server: {prot: 1}"), "is not a known key; did you mean 'port'?"),
        (text(server="server: {zzzz: 1}"), "is not a known key"),
        (text(policies="policies: {p: {decodng: {}}}"), "is not a known key; did you mean 'decoding'?"),
        (text(keys="keys: [{id: a, secret: s, user: u, tenant: t, policy: pblic}]"),
         "there is no policy of this name; did you mean 'public'?"),
        (text(server="server: {port: 1, port: 1}"), "stands here again, after line 2"),
        (text(server="server: {port: 99999}"), "must be less than or equal to 65535"),
        (text(extra="mode: x"), "must be 'enforce' or 'observe'"),
        (text(upstreams="upstreams: {up: {kind: x}}"), "must be one of 'openai', 'litellm', 'embedded'"),
        (text(extra="admin: {token: env:NOWHERE}"), "the environment variable NOWHERE is not set"),
        (text(policies='policies: {"q r": {}}'), "must match ^[A-Za-z0-9._:@-]+$"),
    ],
)  # fmt: skip
def test_message(content: str, message: str) -> None:
    assert message in [mistake.message for mistake in mistakes(content)]


def test_what_limits_name_is_there() -> None:
    content = """\
secret: env:LLMGUARD_SECRET
upstreams: {up: {kind: openai, base_url: "http://h"}}
models:
  a: {task: chat, upstream: up, model: x}
  b: {task: chat, upstream: up, model: y}
groups:
  large: [a, c*]                                                                # <- groups.large[1]
policies:
  p:
    models: [a]
    degrade: {model: b}                                                         # <- policies.p.degrade.model
    limits:
      - {per: key, of: tokens, limit: 1, models: ["@large", "a", "*"]}
      - {per: key, of: tokens, limit: 1, models: ["@lrge"]}                     # <- policies.p.limits[1].models[0]
  q:
    degrade: {model: bb}                                                        # <- policies.q.degrade.model
  r:
    limits:
      - {per: key, of: tokens, limit: 1, on_exceed: degrade}                    # <- policies.r.limits[0].on_exceed
"""
    found = mistakes(content)
    assert [(m.line, m.key) for m in found] == expected(content)
    assert "there is no group of this name; did you mean 'large'?" in [m.message for m in found]


def test_private_labels_that_hide_nothing_or_tell_nothing() -> None:
    content = """\
secret: env:LLMGUARD_SECRET
upstreams: {up: {kind: openai, base_url: "http://h"}}
models:
  a: {task: classify, upstream: up, model: x, labels: ["no", "yes"]}
policies:
  p: {outputs: {privacy: {epsilon: 2, budget: 2}}}
  q: {outputs: {scores: bucket, privacy: {epsilon: 2, budget: 8}}}              # <- policies.q.outputs.privacy
  r: {outputs: {privacy: {epsilon: 2, budget: 1.9}}}                            # <- policies.r.outputs.privacy.budget
"""
    assert [(m.line, m.key) for m in mistakes(content)] == expected(content)


def test_responses_and_alerts() -> None:
    content = """\
secret: env:LLMGUARD_SECRET
alerts: {webhook: "https://ops.example/hook"}
upstreams: {up: {kind: openai, base_url: "http://h"}}
models: {a: {task: chat, upstream: up, model: x}}
policies:
  p: {prompts: {respond: [throttle, challenge, block]}}
  q: {prompts: {respond: [throttle, degrade, throttle]}}
  r: {prompts: {respond: [block, challenge]}}
"""
    assert [(m.key, m.line) for m in mistakes(content)] == [
        ("alerts.secret", 2),
        ("policies.q.prompts.respond[1]", 7),
        ("policies.q.prompts.respond[2]", 7),
        ("policies.r.prompts.respond[1]", 8),
    ]


def test_name_that_is_not_plain_is_quoted_in_the_key() -> None:
    content = text(models="models:\n  gpt-4.1: {task: chats, upstream: up, model: x}")
    assert [m.key for m in mistakes(content)] == ['models["gpt-4.1"].task']


def test_secret_that_opens_two_doors() -> None:
    content = text(
        keys="keys: [{id: a, secret: env:ALICE_KEY, user: u, tenant: t, policy: public}]",
        extra="admin: {token: env:ALICE_KEY}",
    )
    assert [(m.key, m.message) for m in mistakes(content)] == [("keys[0].secret", "is the same as admin.token")]


def test_example() -> None:
    settings = load(EXAMPLE, ENVIRON)
    policy = settings.policies["public"]
    assert settings.secret.get_secret_value() == SECRETS["LLMGUARD_SECRET"]
    assert policy.limits[0] == Limit(per="key", of="requests", limit=60, every=60)
    assert policy.limits[3].every is None
    assert policy.limits[6].on == ("classify", "similarity")
    assert policy.decoding is not None
    assert (policy.decoding.min_temperature, policy.decoding.max_output_tokens) == (0.3, 4096)
    assert policy.watermark is not None
    assert policy.watermark.scheme == "gumbel"
    assert isinstance(settings.upstreams["ours"], OpenAIUpstream)
    assert isinstance(settings.upstreams["claude"], LiteLLMUpstream)
    assert settings.keys[0].secret == SecretStr(SECRETS["ALICE_KEY"])


def test_secrets_are_in_no_text_of_the_settings() -> None:
    content = EXAMPLE.read_text().replace("file:./llmguard-data", "env:REDIS_URL")
    settings = parse(content.encode(), ENVIRON)
    assert settings.store.url == SECRETS["REDIS_URL"]
    assert settings.store.shown_url == "redis://***@localhost:6379/0"
    shown = f"{settings!r} {settings} {settings.model_dump()} {settings.model_dump_json()}"
    assert not [secret for secret in (*SECRETS.values(), "redis-password") if secret in shown]


def test_secrets_are_in_no_text_of_a_mistake() -> None:
    content = re.sub(r"env:(\w+)", lambda found: ENVIRON[found[1]] + "\u00e9 ", EXAMPLE.read_text())
    content = content.replace("file:./llmguard-data", f"x{SECRETS['REDIS_URL']}").replace("mode: enforce", "mode: x")
    with pytest.raises(SettingsError) as caught:
        parse(content.encode(), ENVIRON)
    shown = f"{caught.value!r} {caught.value} {caught.value.mistakes}"
    assert len(caught.value.mistakes) == 6
    assert not [secret for secret in (*SECRETS.values(), "redis-password") if secret in shown]


def test_anchors_and_merge_keys() -> None:
    settings = parse(
        text(
            policies="""\
policies:
  a: &a
    models: [chat-a]
    limits: &limits [{per: key, of: requests, limit: 1, every: 1m}]
  b: {<<: *a, models: &m [chat-b]}
  c: {<<: [{models: [chat-*]}, *a], endpoints: [chat]}
  d: &a {limits: *limits}
"""
        ).encode(),
        ENVIRON,
    )
    a, b, c, d = settings.policies.values()
    assert (a.models, b.models, c.models, d.models) == (("chat-a",), ("chat-b",), ("chat-*",), ("*",))
    assert a.limits == b.limits == c.limits == d.limits


@pytest.mark.parametrize(
    ("written", "value"), [("1_000", 1000), ("0x10", 16), ("0o17", 15), ("010", 10), ("+7", 7), ("!!int '8'", 8)]
)
def test_numbers_of_yaml_1_2(written: str, value: int) -> None:
    assert parse(text(server=f"server: {{port: {written}}}").encode(), ENVIRON).server.port == value


@pytest.mark.parametrize("word", ["on", "off", "yes", "no", "2020-01-01", "="])
def test_words_that_are_text_in_yaml_1_2(word: str) -> None:
    for written in (word, f"'{word}'", f"!!str {word}"):
        assert parse(text(server=f"server: {{host: {written}}}").encode(), ENVIRON).server.host == word


def test_byte_order_mark_and_windows_line_ends() -> None:
    assert isinstance(parse(b"\xef\xbb\xbf" + text().replace("\n", "\r\n").encode(), ENVIRON), Settings)


def test_billion_laughs() -> None:
    lines = ["a: &a [x, x, x, x, x, x, x, x, x]"]
    for before, name in zip("abcdefgh", "bcdefghi", strict=True):
        lines.append(f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]")
    found = mistakes("\n".join(lines))
    assert "stands for more than 50000 values: too many aliases" in [mistake.message for mistake in found]


def test_billion_merges() -> None:
    lines = ["a: &a {x: 1}"]
    for before, name in zip("abcdefgh", "bcdefghi", strict=True):
        lines.append(f"{name}: &{name} {{<<: [{', '.join([f'*{before}'] * 9)}]}}")
    found = mistakes("\n".join(lines))
    assert "stands for more than 50000 values: too many aliases" in [mistake.message for mistake in found]


def test_file_that_cannot_be_read(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "missing.yaml"):
        with pytest.raises(SettingsError) as caught:
            load(path, {})
        assert caught.value.mistakes[0].message.startswith("cannot be read: ")


FRAGMENTS = [
    *(
        "secret: ",
        "server:",
        "upstreams:",
        "models:",
        "policies:",
        "keys:",
        "kind: ",
        "openai",
        "env:X",
        "env:",
        "chat",
    ),
    *(
        "\n",
        "\n  ",
        "\n    ",
        "- ",
        "[",
        "]",
        "{",
        "}",
        ", ",
        ": ",
        "? ",
        "|",
        ">",
        "&a ",
        "*a",
        "<<: ",
        "!!int ",
        "!x ",
    ),
    *(
        '"',
        "'",
        "\\",
        "%YAML 1.1\n",
        "%TAG ! !\n",
        "---\n",
        "...\n",
        "#",
        "@",
        "0x",
        "1",
        ".inf",
        "1e9",
        "~",
        "\t",
        "\r",
    ),
]
TEXTS = st.one_of(
    st.binary(max_size=200),
    st.text(max_size=200).map(lambda drawn: drawn.encode("utf-8", "surrogatepass")),
    st.lists(st.sampled_from(FRAGMENTS), max_size=40).map(lambda parts: "".join(parts).encode()),
    st.tuples(st.integers(0, len(EXAMPLE.read_text())), st.sampled_from(FRAGMENTS), st.integers(0, 9)).map(
        lambda cut: (EXAMPLE.read_text()[: cut[0]] + cut[1] + EXAMPLE.read_text()[cut[0] + cut[2] :]).encode()
    ),
)


@hypothesis_settings(max_examples=300, deadline=5000, suppress_health_check=[HealthCheck.too_slow], database=None)
@given(TEXTS)
def test_any_bytes_are_settings_or_mistakes(content: bytes) -> None:
    told = ""
    try:
        parse(content, ENVIRON)
    except SettingsError as error:
        told = str(error)
    assert not [secret for secret in SECRETS.values() if secret in told]
