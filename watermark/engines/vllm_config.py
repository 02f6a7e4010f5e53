"""vLLM's own `--watermark-config`: a key of ours written as one, an engine's read as what finds its mark. Pure."""

import msgspec
import numpy as np

from watermark.keys.derivation import vllm_pair
from watermark.scheme import Keys, Scheme
from watermark.schemes.gumbel import Vllm, VllmDual

MOST = 2**64 - 1
MOST_WIDTH = 64


class ConfigError(ValueError):
    """A configuration that this library cannot read or write; the message says why, and nothing of the key."""


class Config(msgspec.Struct, kw_only=True, omit_defaults=True):
    """The fields that decide which mark an engine leaves. What else it may hold decides where marks are left out."""

    key: int
    algorithm: str = "gumbel"
    context_width: int | None = None
    alpha: float = 0.1
    prf: str = "philox"


def written(scheme: str, words: tuple[str, ...], width: int) -> str:
    """The configuration, as JSON, that has an engine mark under this key; raises `ConfigError`."""
    if scheme != "gumbel-vllm" or len(words) != 1:
        raise ConfigError(f"vLLM's engines cannot be given a key of {scheme}: they take one word, of gumbel-vllm")
    return msgspec.json.encode({"algorithm": "gumbel", "key": int(words[0], 16), "context_width": width}).decode()


def read(content: bytes) -> tuple[Scheme, Keys]:
    """The scheme and the key [columns] of an engine's configuration; raises `ConfigError`."""
    try:
        config = msgspec.json.decode(content, type=Config)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ConfigError("it is no --watermark-config of vLLM: a JSON object with a key") from error
    width = 4 if config.context_width is None else config.context_width
    if not 0 <= config.key <= MOST:
        raise ConfigError("its key must have at most 64 bits")
    if config.prf != "philox" or not 1 <= width <= MOST_WIDTH:
        raise ConfigError("its prf must be philox, and its context_width from 1 to 64")
    if config.algorithm == "gumbel":
        return Vllm(width), np.array([config.key], np.uint64)
    if config.algorithm == "dual_key_gumbel" and 0 < config.alpha < 1 / 2:
        return VllmDual(width, config.alpha), vllm_pair(config.key)
    raise ConfigError("its algorithm must be gumbel, or dual_key_gumbel with an alpha between 0 and 1/2")
