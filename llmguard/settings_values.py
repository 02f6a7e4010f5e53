"""The kinds of value that the settings are made of, each with its check and its JSON schema.

No check echoes what it refuses: a value that stands in the wrong place may be a secret.
"""

import re
from collections.abc import Mapping
from ipaddress import ip_network
from typing import Annotated, Any
from urllib.parse import SplitResult, urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationInfo, WithJsonSchema

LOCAL_STORES = ("file", "memory")
REDIS_STORES = ("redis", "rediss", "redis+sentinel", "redis+cluster")
UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
MIN_SECRET_BYTES = 32
TEN_YEARS_S = 315_360_000

ENV = "env:"
ENV_NOTE = "`env:NAME` reads it from the environment variable NAME."
ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
DURATION = re.compile(r"(\d{1,12}(?:\.\d{1,6})?)(ms|[smhdw])?", re.ASCII)
TOKEN = re.compile(r"[\x21-\x7e]+")


def from_environment(value: str, environ: Mapping[str, str]) -> str:
    """The variable's value where `env:NAME` stands, else `value` itself; an unset or empty one is refused."""
    if not value.startswith(ENV):
        return value
    name = value.removeprefix(ENV)
    if not ENV_NAME.fullmatch(name):
        raise ValueError("env: must be followed by the name of an environment variable")
    found = environ.get(name)
    if found is None:
        raise ValueError(f"the environment variable {name} is not set")
    if not found:
        raise ValueError(f"the environment variable {name} is empty")
    return found


def environment(info: ValidationInfo) -> Mapping[str, str]:
    """The variables that the validation was given; none where it was given none."""
    context: Mapping[str, Mapping[str, str]] = info.context or {}
    return context.get("environ", {})


def token(value: SecretStr, info: ValidationInfo) -> SecretStr:
    """A secret that travels in an HTTP header: visible ASCII without spaces."""
    text = from_environment(value.get_secret_value(), environment(info))
    if not TOKEN.fullmatch(text):
        raise ValueError("must be visible ASCII characters without spaces, at least one")
    return SecretStr(text)


def master_secret(value: SecretStr, info: ValidationInfo) -> SecretStr:
    """A secret that keys are derived from: at least 32 bytes of UTF-8."""
    text = from_environment(value.get_secret_value(), environment(info))
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        raise ValueError("must be UTF-8 text") from None
    if size < MIN_SECRET_BYTES:
        raise ValueError(f"must be at least {MIN_SECRET_BYTES} bytes; `openssl rand -hex 32` makes one")
    return SecretStr(text)


def seconds(value: object) -> object:
    """`90`, `"90s"`, `"1m"`, `"12h"`, `"1d"`, `"2w"` as seconds."""
    if isinstance(value, str):
        match = DURATION.fullmatch(value)
        if not match:
            raise ValueError("a duration is a number and a unit: 500ms, 30s, 1m, 12h, 1d, 2w")
        number, unit = match.groups()
        return float(number) * UNITS[unit or "s"]
    return value


def network(value: str) -> str:
    """An address or a network in CIDR form."""
    try:
        ip_network(value, strict=False)
    except ValueError:
        raise ValueError("must be an IP address or a network such as 10.0.0.0/8") from None
    return value


def split(value: str) -> SplitResult | None:
    """The parts of a URL; None where it cannot be one, because the error would quote it."""
    try:
        parts = urlsplit(value)
        _ = parts.port
    except ValueError:
        return None
    return parts


def http_url(value: str) -> str:
    """An http(s) URL without credentials, query or fragment; a slash at its end is cut."""
    parts = split(value)
    if parts is None or parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("must be an http:// or https:// URL")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ValueError("must not carry credentials, a query or a fragment; keys go into api_key")
    return value.rstrip("/")


def store_url(value: str, info: ValidationInfo) -> str:
    """A store's URL, out of the environment where it is `env:NAME`: file:, memory: or one of Redis's."""
    url = from_environment(value, environment(info))
    scheme, _, rest = url.partition(":")
    if scheme not in (*LOCAL_STORES, *REDIS_STORES):
        raise ValueError(f"must begin with {', '.join(f'{known}:' for known in (*LOCAL_STORES, *REDIS_STORES))}")
    if scheme == "file" and not rest:
        raise ValueError("file: must be followed by a directory")
    if scheme in REDIS_STORES and not (rest.startswith("//") and len(rest) > len("//")):
        raise ValueError(f"must name a host: {scheme}://HOST:PORT")
    return url


def without_password(url: str) -> str:
    """The URL with everything ahead of its host's `@` replaced by `***`."""
    scheme, separator, rest = url.partition("//")
    return f"{scheme}{separator}***@{rest.rpartition('@')[2]}" if "@" in rest else url


def literal(value: str) -> str:
    """A value that is not `env:NAME`, which would silently stand for itself here."""
    if value.startswith(ENV):
        raise ValueError("env: is for secrets and store.url only")
    return value


SECONDS_SCHEMA: dict[str, Any] = {
    "anyOf": [
        {"type": "number", "exclusiveMinimum": 0, "maximum": TEN_YEARS_S},
        {"type": "string", "pattern": f"^{DURATION.pattern}$", "examples": ["500ms", "30s", "1m", "12h", "1d", "2w"]},
    ]
}

Seconds = Annotated[
    float, BeforeValidator(seconds), Field(gt=0, le=TEN_YEARS_S, allow_inf_nan=False), WithJsonSchema(SECONDS_SCHEMA)
]
Network = Annotated[str, AfterValidator(network)]
HttpUrl = Annotated[str, AfterValidator(http_url)]
StoreUrl = Annotated[str, AfterValidator(store_url)]
Token = Annotated[SecretStr, AfterValidator(token)]
MasterSecret = Annotated[SecretStr, AfterValidator(master_secret)]
Name = Annotated[str, Field(min_length=1, max_length=256, pattern=r"^[^\x00-\x1f\x7f]+$"), AfterValidator(literal)]
Id = Annotated[str, Field(min_length=1, max_length=128, pattern=r"^[A-Za-z0-9._:@-]+$"), AfterValidator(literal)]
Reason = Annotated[str, Field(min_length=8, max_length=1000, pattern=r"\S.*\S"), AfterValidator(literal)]
