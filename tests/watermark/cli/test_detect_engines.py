"""`detect` for what other engines and models that only sample leave: vLLM's own configuration, and picked answers."""

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from tests.watermark.made import sampled, tokenizer_file
from tests.watermark.selection.test_verdict import corpus
from watermark.cli.main import app
from watermark.keys.registry import FileRegistry
from watermark.schemes.gumbel import Vllm
from watermark.selection.pick import pick

SECRET = {"LLMGUARD_SECRET": "the secret of these tests, which is long enough"}


def run(*arguments: str) -> Result:
    return CliRunner(env=SECRET).invoke(app, list(arguments), catch_exceptions=False)


def written(folder: Path, texts: list[str]) -> str:
    path = folder / "corpus.jsonl"
    path.write_text("\n".join(json.dumps({"text": text}) for text in texts))
    return str(path)


def test_a_corpus_of_picked_answers_needs_no_tokenizer_and_has_one_verdict(tmp_path: Path):
    path = written(tmp_path, corpus(60))
    done = run("detect", path, "--scheme", "selection", "--key", "3", "--key", "4", "--json")
    assert done.exit_code == 0, done.output
    (said,) = [json.loads(line) for line in done.stdout.splitlines()]
    assert (said["document"], said["verdict"], said["key_id"]) == ("60 texts together", "marked", "key-1")
    assert run("detect", path, "--scheme", "selection", "--key", "4").exit_code == 1
    assert run("detect", path, "--scheme", "selection", "--html", str(tmp_path / "x.html"), "--key", "3").exit_code == 0


@pytest.mark.parametrize(
    "arguments", [("--key", "3"), ("--scheme", "selection"), ("--scheme", "selection", "--key", "x")]
)
def test_what_is_missing_is_said(tmp_path: Path, arguments: tuple[str, ...]):
    done = run("detect", written(tmp_path, ["a text of some words"]), *arguments)
    assert (done.exit_code, done.stdout) == (2, "")


def test_a_key_for_selection_is_issued_without_a_tokenizer_and_finds_its_picks(tmp_path: Path):
    registry = str(tmp_path / "keys.json")
    names = ("--registry", registry, "--tenant", "acme", "--model", "claude")
    done = run("keys", "issue", *names, "--scheme", "selection")
    assert done.exit_code == 0, done.output
    (record,) = FileRegistry(Path(registry)).records()
    generator, texts = np.random.default_rng(1), []
    for _ in range(60):
        some = [" ".join(f"w{word}" for word in generator.integers(0, 3000, 20)) for _ in range(4)]
        texts.append(some[pick(int(record.key[0]), some, generator)])
    path = written(tmp_path, texts)
    assert run("detect", path, "--scheme", "selection", "--registry", registry).exit_code == 0
    assert run("keys", "issue", *names).exit_code == 2
    assert run("keys", "issue", *names, "--scheme", "selection", "--context-width", "3").exit_code == 2


def test_a_key_is_written_as_vllm_takes_it_and_read_again(tmp_path: Path):
    registry, tokenizer = str(tmp_path / "keys.json"), str(tokenizer_file(tmp_path / "tokenizer.json"))
    names = ("--registry", registry, "--tenant", "acme", "--model", "m", "--tokenizer", tokenizer)
    id = run("keys", "issue", *names, "--context-width", "3").stdout.strip()
    done = run("keys", "vllm-config", "--registry", registry, id)
    config, document = tmp_path / "config.json", tmp_path / "text.txt"
    config.write_text(done.stdout)
    (record,) = FileRegistry(Path(registry)).records()
    assert json.loads(done.stdout) == {"algorithm": "gumbel", "key": int(record.words[0], 16), "context_width": 3}
    document.write_text(sampled(record.key, 150, Vllm(3)))
    arguments = ("detect", str(document), "--tokenizer", tokenizer, "--vllm-config", str(config))
    assert run(*arguments).exit_code == 0
    assert run(*arguments, "--key", "1").exit_code == 2
    config.write_text("{}")
    assert run(*arguments).exit_code == 2
    assert run("keys", "vllm-config", "--registry", registry, "wm_0").exit_code == 2
    sglang = run("keys", "issue", *names, "--scheme", "gumbel-sglang").stdout.strip()
    assert run("keys", "vllm-config", "--registry", registry, sglang).exit_code == 2
