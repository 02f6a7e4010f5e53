"""`llmguard embeddings verify`: a tenant's vectors, told by themselves; nobody else's."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from llmguard.cli.main import app
from llmguard.keys import derive
from llmguard.outputs.embeddings.reductions import Reductions
from llmguard.settings import Settings
from tests.serving import tree

SIZE, TOLD, COUNT = 48, 32, 200
RANDOM = np.random.default_rng(1)
VECTORS = RANDOM.standard_normal((COUNT, SIZE)).round(6).tolist()
TEXTS = [f"text {number}" for number in range(COUNT)]
MAP = RANDOM.standard_normal((TOLD, TOLD))


def settings(**changes: Any) -> dict[str, Any]:
    """Vectors granted to two tenants."""
    grant = {"reason": "a partner searches our help pages", "dimensions": TOLD}
    made = tree("http://unused/v1")
    made["policies"]["public"] = {"outputs": {"embeddings": "reduced", "reduced": grant}, "endpoints": ["embeddings"]}
    made["models"]["minilm"] = {"task": "embedding", "upstream": "fake", "model": "m"}
    made["keys"][1]["tenant"] = "globex"
    return made | changes


def passed_on(tenant: str = "acme") -> list[list[float]]:
    """What the guard told a tenant, behind a linear map of the suspect's."""
    made = Settings.model_validate(settings())
    outputs = made.policies["public"].outputs
    assert outputs is not None and outputs.reduced is not None  # noqa: PT018
    tell = Reductions(derive(made.secret.get_secret_value().encode(), "embeddings"))
    told = np.array(tell(outputs.reduced, "minilm", tenant, TEXTS, VECTORS)) @ MAP
    rows: list[list[float]] = told.tolist()
    return rows


def verified(folder: Path, rows: list[list[float]], *options: str, originals: bool = True, **changes: Any) -> Result:
    """The outcome of the command."""
    config, file = folder / "guard.yaml", folder / "suspect.jsonl"
    config.write_text(json.dumps(settings(**changes)))
    lines = [
        {"text": text, "embedding": row} | ({"original": vector} if originals else {})
        for text, row, vector in zip(TEXTS, rows, VECTORS, strict=False)
    ]
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    command = ["embeddings", "verify", str(file), "--config", str(config), "--model", "minilm"]
    return CliRunner().invoke(app, [*command, *(["--policy", "public"] if "--policy" not in options else []), *options])


def test_the_tenant_is_named(tmp_path: Path) -> None:
    result = verified(tmp_path, passed_on(), "--json")
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    first, other = report["tenants"]
    assert (report["texts"], report["decoys"]) == (COUNT, 99)
    assert (first["tenant"], first["found"], first["decoy_rank_p"]) == ("acme", True, 0.01)
    assert first["log10_p"] < -20
    assert (other["tenant"], other["found"]) == ("globex", False)
    table = verified(tmp_path, passed_on()).stdout
    assert "acme" in table
    assert "found" in table


@pytest.mark.parametrize("rows", [VECTORS, passed_on("somebody")], ids=["the model's own", "another tenant's"])
def test_nobody_is_named_for_other_vectors(tmp_path: Path, rows: list[list[float]]) -> None:
    result = verified(tmp_path, rows, "--json")
    assert result.exit_code == 1, result.output
    assert not any(row["found"] for row in json.loads(result.stdout)["tenants"])


def test_tenants_may_be_named(tmp_path: Path) -> None:
    result = verified(tmp_path, passed_on("somebody"), "--tenant", "somebody", "--json")
    assert (result.exit_code, json.loads(result.stdout)["tenants"][0]["found"]) == (0, True)


@pytest.mark.parametrize(
    ("options", "rows", "originals", "changes", "said"),
    [
        (("--policy", "narrow"), COUNT, True, {}, "grant no reduced vectors"),
        (("--policy", "none"), COUNT, True, {}, "grant no reduced vectors"),
        (("--fpr", "1"), COUNT, True, {}, "--fpr"),
        ((), COUNT, False, {}, "`original`"),
        ((), TOLD, True, {}, "too few"),
        ((), COUNT, True, {"keys": []}, "--tenant"),
        ((), COUNT, True, {"secret": "short"}, "secret"),
    ],
)
def test_what_cannot_be_told_is_said(
    tmp_path: Path, options: tuple[str, ...], rows: int, originals: bool, changes: dict[str, Any], said: str
) -> None:
    result = verified(tmp_path, passed_on()[:rows], *options, originals=originals, **changes)
    assert result.exit_code == 2
    assert said in result.stderr
    assert "Traceback" not in result.output


@pytest.mark.parametrize("text", ["not JSON", '{"text": 1}', '{"text": "a", "embedding": []}'])
def test_a_file_of_something_else_is_refused(tmp_path: Path, text: str) -> None:
    config, file = tmp_path / "guard.yaml", tmp_path / "suspect.jsonl"
    config.write_text(json.dumps(settings()))
    file.write_text(text)
    command = ["embeddings", "verify", str(file), "--config", str(config), "--model", "minilm", "--policy", "public"]
    assert CliRunner().invoke(app, command).exit_code == 2
