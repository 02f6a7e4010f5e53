"""The settings of `llmguard serve` without a file: everything embedded, one directory for what is kept."""

import os
import secrets
import stat
from collections.abc import Callable
from pathlib import Path

from pydantic import SecretStr

from llmguard.mistakes import Mistake, SettingsError
from llmguard.settings import EmbeddedUpstream, Model, Settings, StoreSettings
from llmguard.settings_policies import Policy, Prompts
from llmguard.settings_values import MIN_SECRET_BYTES

SECRET_FILE = "secret"  # noqa: S105  a file's name
MAX_SECRET_FILE_BYTES = 4096


def default_settings(directory: Path, token_bytes: Callable[[int], bytes] = secrets.token_bytes) -> Settings:
    """Settings that keep everything under `directory`, which is made where it is missing.

    The master secret is made once, from `token_bytes(32)`, and read back ever after.
    SettingsError where it cannot be written, read or trusted.
    """
    return Settings(
        secret=SecretStr(kept_secret(directory, token_bytes)),
        store=StoreSettings(url=f"file:{directory}"),
        upstreams={"builtin": EmbeddedUpstream(kind="embedded")},
        models={
            "smollm2": Model(task="chat", upstream="builtin", model="smollm2-135m-instruct"),
            "minilm": Model(task="embedding", upstream="builtin", model="all-minilm-l6-v2"),
        },
        policies={"public": Policy(prompts=Prompts())},
    )


def kept_secret(directory: Path, token_bytes: Callable[[int], bytes]) -> str:
    """The secret in `directory`; made there first where there is none."""
    path = directory / SECRET_FILE
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not os.path.lexists(path):
            create(path, token_bytes)
        return read(path)
    except OSError as error:
        raise unusable(path, error.strerror or "the system refuses it") from None


def create(path: Path, token_bytes: Callable[[int], bytes]) -> None:
    """Write a new secret, readable by its owner alone; one that another process made meanwhile stays.

    It is written beside its place and linked to it, so that nobody ever reads half of it.
    """
    draft = path.with_name(f"{path.name}.{os.getpid()}.{token_bytes(8).hex()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with open(descriptor, "w", encoding="ascii") as file:
            file.write(token_bytes(MIN_SECRET_BYTES).hex() + "\n")
            file.flush()
            os.fsync(file.fileno())
        os.link(draft, path)
    except FileExistsError:
        return
    finally:
        draft.unlink()


def read(path: Path) -> str:
    """The secret in the file; SettingsError where others can read it, or it is no secret."""
    with open(path, "rb", opener=at_once) as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise unusable(path, "is not a file")
        if status.st_mode & 0o077:
            raise unusable(path, f"may be used by others than its owner; run: chmod 600 {path}")
        content = file.read(MAX_SECRET_FILE_BYTES + 1)
    if len(content) > MAX_SECRET_FILE_BYTES:
        raise unusable(path, f"is larger than {MAX_SECRET_FILE_BYTES} bytes")
    try:
        secret = content.decode().strip()
    except UnicodeDecodeError:
        raise unusable(path, "is not text") from None
    if len(secret.encode()) < MIN_SECRET_BYTES:
        raise unusable(path, f"holds less than {MIN_SECRET_BYTES} bytes")
    return secret


def at_once(path: str, flags: int) -> int:
    """Open without waiting for whoever may write into a pipe that stands in the file's place."""
    return os.open(path, flags | os.O_NONBLOCK)


def unusable(path: Path, reason: str) -> SettingsError:
    """The error for a secret's file that cannot be used."""
    return SettingsError((Mistake(None, "secret", f"{path}: {reason}"),))
