"""The settings without a file: embedded models, and a master secret that is kept."""

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from llmguard.defaults import default_settings
from llmguard.mistakes import SettingsError
from llmguard.settings_references import complaints


def fixed(size: int) -> bytes:
    """Randomness of a test."""
    return bytes(range(size))


def refused(directory: Path) -> str:
    """What is said of a secret that cannot be used."""
    with pytest.raises(SettingsError) as caught:
        default_settings(directory, fixed)
    (mistake,) = caught.value.mistakes
    assert mistake.key == "secret"
    return mistake.message


def kept(directory: Path, content: bytes, mode: int = 0o600) -> Path:
    """A secret's file that is there already."""
    path = directory / "secret"
    path.write_bytes(content)
    path.chmod(mode)
    return path


def test_everything_is_embedded(tmp_path: Path) -> None:
    settings = default_settings(tmp_path / "data", fixed)
    assert settings.store.url == f"file:{tmp_path / 'data'}"
    assert {name: (model.task, model.model) for name, model in settings.models.items()} == {
        "smollm2": ("chat", "smollm2-135m-instruct"),
        "minilm": ("embedding", "all-minilm-l6-v2"),
    }
    assert [upstream.kind for upstream in settings.upstreams.values()] == ["embedded"]
    assert list(settings.policies) == ["public"]
    assert "embeddings" not in settings.policies["public"].endpoints
    assert list(complaints(settings.model_dump(mode="json"), {})) == []


def test_secret_is_made_once_and_read_back(tmp_path: Path) -> None:
    first = default_settings(tmp_path / "a" / "b", fixed).secret.get_secret_value()
    path = tmp_path / "a" / "b" / "secret"
    assert first == fixed(32).hex() == path.read_text().strip()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert default_settings(tmp_path / "a" / "b").secret.get_secret_value() == first
    assert [entry.name for entry in path.parent.iterdir()] == ["secret"]


def test_secrets_differ_between_directories(tmp_path: Path) -> None:
    assert default_settings(tmp_path / "a").secret != default_settings(tmp_path / "b").secret


def test_secret_that_another_process_makes_meanwhile_stays(tmp_path: Path) -> None:
    def slow(size: int) -> bytes:
        if size == 32:
            kept(tmp_path, b"a" * 64)
        return fixed(size)

    assert default_settings(tmp_path, slow).secret.get_secret_value() == "a" * 64
    assert [entry.name for entry in tmp_path.iterdir()] == ["secret"]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o666])
def test_secret_that_others_can_use(tmp_path: Path, mode: int) -> None:
    path = kept(tmp_path, b"a" * 64, mode)
    assert refused(tmp_path) == f"{path}: may be used by others than its owner; run: chmod 600 {path}"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "holds less than 32 bytes"),
        (b"a" * 31 + b"\n", "holds less than 32 bytes"),
        (b"\xff" * 64, "is not text"),
        (b"a" * 5000, "is larger than 4096 bytes"),
    ],
)
def test_secret_that_is_none(tmp_path: Path, content: bytes, reason: str) -> None:
    path = kept(tmp_path, content)
    assert refused(tmp_path) == f"{path}: {reason}"


@pytest.mark.parametrize("make", [os.mkfifo, Path.mkdir], ids=["pipe", "directory"])
def test_something_else_in_the_place_of_the_secret(tmp_path: Path, make: Callable[[Path], None]) -> None:
    make(tmp_path / "secret")
    (tmp_path / "secret").chmod(0o600)
    assert "secret: " in refused(tmp_path)


def test_secret_that_leads_nowhere(tmp_path: Path) -> None:
    (tmp_path / "secret").symlink_to(tmp_path / "nowhere")
    assert refused(tmp_path).endswith("No such file or directory")


def test_directory_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("")
    assert refused(tmp_path / "data").endswith("File exists")
