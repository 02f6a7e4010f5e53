"""`detect`, from files to exit statuses."""

import json
import os
import subprocess
import sys
from pathlib import Path

import jsonschema
import numpy as np
import pytest
from typer.testing import CliRunner, Result

from llmguard.cli.main import app as llmguard
from tests.watermark.made import WORDS, sampled, tokenizer_file, unmarked
from tests.watermark.made import pdf as made_pdf
from watermark.cli.main import app
from watermark.schemes.gumbel import Sglang
from watermark.schemes.unigram import Unigram
from watermark.tokenizer import load

KEY = "a1b2c3d4e5f60718"
MARKED = sampled(np.array([int(KEY, 16)], np.uint64), 200)
PLAIN = unmarked(200)
SCHEMA = {
    "type": "object",
    "required": [
        "document",
        "verdict",
        "reason",
        "scheme",
        "key_id",
        "tokens",
        "scored",
        "score",
        "p_value",
        "log10_p",
        "spans",
    ],
    "properties": {
        "document": {"type": "string"},
        "verdict": {"enum": ["marked", "not_marked", "cannot_tell"]},
        "reason": {"type": "string", "minLength": 1},
        "scheme": {"type": ["string", "null"]},
        "key_id": {"type": ["string", "null"]},
        "tokens": {"type": "integer"},
        "scored": {"type": "integer"},
        "score": {"type": ["number", "null"]},
        "p_value": {"type": ["number", "null"], "exclusiveMinimum": 0, "maximum": 1},
        "log10_p": {"type": ["number", "null"], "maximum": 0},
        "spans": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["start", "end", "log10_p"],
                "properties": {
                    "start": {"type": "integer", "minimum": 0},
                    "end": {"type": "integer"},
                    "log10_p": {"type": "number", "maximum": 0},
                },
            },
        },
    },
}


class Shell:
    """Runs `detect` beside a tokenizer and some texts."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.tokenizer = tokenizer_file(directory / "tokenizer.json")

    def file(self, name: str, content: str | bytes) -> str:
        """A file's path."""
        path = self.directory / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return str(path)

    def run(self, *arguments: str, key: str | None = KEY, stdin: bytes = b"") -> Result:
        """The outcome of `watermark detect …`."""
        keys = () if key is None else ("--key", key)
        return CliRunner().invoke(
            app, ["detect", *arguments, "--tokenizer", str(self.tokenizer), *keys], input=stdin, catch_exceptions=False
        )

    def objects(self, *arguments: str, stdin: bytes = b"") -> list[dict]:
        """What `--json` says."""
        found = [json.loads(line) for line in self.run(*arguments, "--json", stdin=stdin).stdout.splitlines()]
        for one in found:
            jsonschema.validate(one, SCHEMA)
        return found


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(tmp_path)


@pytest.mark.parametrize(
    ("text", "status", "verdict"),
    [(MARKED, 0, "marked"), (PLAIN, 1, "not_marked"), (" ".join(MARKED.split()[:10]), 2, "cannot_tell")],
)
def test_the_exit_status_is_the_verdict(shell: Shell, text: str, status: int, verdict: str):
    file = shell.file("x.txt", text)
    found = shell.run(file)
    assert found.exit_code == status
    assert verdict.replace("_", " ") in found.stdout
    assert [one["verdict"] for one in shell.objects(file)] == [verdict]
    assert KEY not in found.output


def test_json_says_what_was_scored(shell: Shell):
    (found,) = shell.objects(shell.file("x.txt", f"{PLAIN} {MARKED} {PLAIN}"))
    assert (found["document"], found["scheme"], found["key_id"]) == (
        str(shell.directory / "x.txt"),
        "gumbel-vllm",
        "key-1",
    )
    assert (found["tokens"], found["verdict"], found["tested_keys"], found["decoys"]) == (600, "marked", 1, 999)
    assert 10 ** found["log10_p"] == pytest.approx(found["p_value"])
    assert found["decoy_rank_p"] == 0.001
    assert all(180 <= span["start"] < span["end"] <= 420 for span in found["spans"])
    assert found["spans"]


def test_one_marked_text_decides_over_a_folder(shell: Shell):
    (shell.directory / "texts").mkdir()
    for name, content in (("a.txt", PLAIN), ("b.bin", b"\0\1"), ("c.html", f"<p>{MARKED}</p>"), ("d.md", MARKED)):
        shell.file(f"texts/{name}", content)
    shell.file("texts/e.pdf", made_pdf([MARKED[at : at + 80] for at in range(0, len(MARKED), 80)]))
    found = shell.objects(str(shell.directory / "texts"))
    assert [one["verdict"] for one in found][:4] == ["not_marked", "cannot_tell", "marked", "marked"]
    assert shell.run(str(shell.directory / "texts")).exit_code == 0
    assert shell.run(str(shell.directory / "texts/a.txt"), str(shell.directory / "texts/b.bin")).exit_code == 2


def test_pdfs_are_read(shell: Shell):
    words = MARKED.split()
    file = shell.file("x.pdf", made_pdf([" ".join(words[at : at + 10]) for at in range(0, 200, 10)]))
    assert [(one["verdict"], one["tokens"]) for one in shell.objects(file)] == [("marked", 200)]


def test_jsonl_and_standard_input(shell: Shell):
    lines = "".join(json.dumps({"answer": text}) + "\n" for text in (PLAIN, MARKED)).encode()
    found = shell.objects("-", "--field", "answer", stdin=lines)
    assert [(one["document"], one["verdict"]) for one in found] == [("-:1", "not_marked"), ("-:2", "marked")]
    assert shell.run("-", stdin=MARKED.encode()).exit_code == 0


def test_look_alikes_and_invisible_letters_are_undone(shell: Shell):
    hidden = MARKED.replace("a", "а").replace("e", "e\u200b")  # noqa: RUF001  the attack
    hidden += " plain english words around them so that most letters are of one alphabet"
    assert shell.run(shell.file("x.txt", hidden)).exit_code == 0


def test_other_schemes_and_widths_are_named(shell: Shell):
    key = np.array([int(KEY, 16)], np.uint64)
    file = shell.file("x.txt", sampled(key, 200, Sglang(2)))
    assert shell.run(file, "--scheme", "gumbel-sglang", "--context-width", "2").exit_code == 0
    assert shell.run(file, "--scheme", "gumbel-sglang").exit_code == 1
    file = shell.file("y.txt", sampled(key, 400, Unigram(700)))
    assert shell.run(file, "--scheme", "unigram", "--vocabulary", "700").exit_code == 0
    assert shell.run(file, "--scheme", "unigram").exit_code == 1


def test_several_keys_pay_for_each_other(shell: Shell):
    found = shell.objects(shell.file("x.txt", MARKED), "--key", "2a", "--key", "2b")
    assert (found[0]["key_id"], found[0]["tested_keys"]) == ("key-3", 3)


def test_the_false_positive_rate_decides(shell: Shell):
    file = shell.file("x.txt", " ".join(MARKED.split()[:40]))
    assert shell.run(file, "--fpr", "1e-3").exit_code == 0
    assert shell.run(file, "--fpr", "1e-30").exit_code == 2


def test_a_key_found_in_the_reference_accuses_nobody(shell: Shell):
    file, reference = shell.file("x.txt", MARKED), shell.file("r.txt", MARKED)
    found = shell.run(file, "--reference", reference)
    assert found.exit_code == 2
    assert "finds itself in unmarked text" in found.stdout
    assert shell.run(file, "--reference", shell.file("r.txt", unmarked(1000, seed=9))).exit_code == 0
    assert shell.run(file, "--reference", str(shell.directory / "none")).exit_code == 2


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "it holds no text"),
        (b"\x89PNG\r\n\x1a\n\0\0\0", "it is a binary file"),
        ("Grüße".encode() + "Grüße".encode("latin-1"), "not text in one encoding: byte 9"),
        (MARKED[:60].encode(), "too short"),
    ],
)
def test_bad_documents_are_answered_with_a_reason(shell: Shell, content: bytes, said: str):
    found = shell.run(shell.file("x.txt", content), "--json")
    assert found.exit_code == 2
    assert said in json.loads(found.stdout)["reason"]
    assert found.stderr == ""


@pytest.mark.parametrize(
    ("arguments", "key", "said"),
    [
        ((), None, "a --key or a --registry is needed"),
        ((), "not hex", "1 to 16 digits"),
        ((), "1" * 17, "at most 16 hex digits"),
        (("--key", KEY), KEY, "a key is given twice"),
        (("--fpr", "0"), KEY, "--fpr"),
        (("--fpr", "nan"), KEY, "--fpr"),
        (("--vocabulary", "10"), KEY, "the tokenizer has 600 tokens, more than the vocabulary of 10"),
        (("--registry", "/nowhere/keys.json"), None, "there is no key registry"),
        (("--html", "/nowhere/report.html"), KEY, "cannot be written"),
    ],
)
def test_bad_usage_is_answered_with_a_reason(shell: Shell, arguments: tuple[str, ...], key: str | None, said: str):
    found = shell.run(shell.file("x.txt", MARKED), *arguments, "--json", key=key)
    assert found.exit_code == 2
    assert said in found.stderr
    assert found.stdout == ""
    assert "Traceback" not in found.output


@pytest.mark.parametrize("name", ["gpt-17", "/nowhere/tokenizer.json"])
def test_an_unknown_tokenizer_is_answered_with_a_reason(shell: Shell, name: str):
    found = CliRunner().invoke(app, ["detect", shell.file("x.txt", MARKED), "--tokenizer", name, "--key", KEY])
    assert (found.exit_code, found.stdout) == (2, "")
    assert "no tokenizer is known as" in found.stderr


def test_text_of_the_embedded_models_tokenizer_is_found(tmp_path: Path):
    """By the model's name, through both commands, in processes of their own."""
    tokenizer = load("smollm2")
    ids = [tokenizer.tokenizer.token_to_id(f"Ġ{word}") for word in ("the", "of", "and", "to", "in", "is", "for", "on")]
    generator = np.random.default_rng(0)
    from watermark.schemes.gumbel import Vllm

    found = [0] * 4
    for _ in range(120):
        weights = np.zeros(tokenizer.vocabulary)
        weights[ids] = generator.dirichlet(np.ones(len(ids)))
        found.append(Vllm().mark(np.array([0x2A], np.uint64), weights, np.array(found[-4:]), generator))
    (tmp_path / "x.txt").write_text(tokenizer.tokenizer.decode(found[4:]))
    for module in (["watermark"], ["llmguard", "watermark"]):
        command = [sys.executable, "-m", *module, "detect", str(tmp_path / "x.txt"), "--tokenizer", "smollm2"]
        done = subprocess.run([*command, "--key", "2a", "--json"], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")
        assert json.loads(done.stdout)["verdict"] == "marked"


def test_the_guards_command_starts_without_what_detection_needs():
    code = "import sys, llmguard.cli.main; print(sorted({'numpy', 'tokenizers', 'scipy'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=os.environ)
    assert done.stdout.strip() == "[]"
    assert "detect" in CliRunner().invoke(llmguard, ["watermark", "--help"]).stdout


def test_an_innocent_is_not_named(shell: Shell):
    assert "key-1" not in shell.run(shell.file("x.txt", PLAIN)).stdout


def test_file_names_cannot_command_a_terminal(shell: Shell):
    file = shell.file("\x1b[31m[red]x.txt", PLAIN)
    found = shell.run(file).stdout
    assert "\x1b" not in found
    assert "[red]" in found


def test_words_are_tokens():
    assert len(WORDS) == len(set(WORDS)) == 600
