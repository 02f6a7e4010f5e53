"""What the house rules say of the tree, enforced."""

import ast
import io
import tokenize
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("llmguard", "watermark", "similarity", "prompts")
MODULES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("*.py"))
CONTROLS = sorted(path.stem for path in (ROOT / "llmguard" / "controls").glob("*.py") if path.stem != "__init__")

LINES, FUNCTION_LINES = 450, 60
GUARD = ROOT / "llmguard" / "guard.py"
MAY_CATCH_ALL = {
    GUARD,
    # A process of its own, with a loop of its own over requests.
    ROOT / "llmguard" / "upstreams" / "embedded" / "worker.py",
}


def tree(path: Path) -> ast.Module:
    """A module's syntax."""
    return ast.parse(path.read_text())


def name(path: Path) -> str:
    """A path as it is said."""
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("control", CONTROLS)
def test_every_control_is_one_class_of_its_modules_name_with_a_test_of_that_name(control: str) -> None:
    assert (ROOT / "tests" / "controls" / f"test_{control}.py").is_file()
    module = tree(ROOT / "llmguard" / "controls" / f"{control}.py")
    steps = [
        node.name
        for node in module.body
        if isinstance(node, ast.ClassDef)
        and any(isinstance(base, ast.Name) and base.id == "Step" for base in node.bases)
    ]
    assert [step.lower() for step in steps] == [control.replace("_", "")]


def test_files_are_short() -> None:
    lines = {name(path): len(path.read_text().splitlines()) for path in MODULES}
    assert {path: count for path, count in lines.items() if count > LINES} == {}


def test_functions_are_short() -> None:
    lengths = {
        f"{name(path)}:{node.lineno} {node.name}": (node.end_lineno or 0) - node.lineno + 1
        for path in [*MODULES, *TESTS]
        for node in ast.walk(tree(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    assert {function: count for function, count in lengths.items() if count > FUNCTION_LINES} == {}


def raises_again(handler: ast.ExceptHandler) -> bool:
    """Whether a handler only tidies up."""
    last = handler.body[-1]
    return isinstance(last, ast.Raise) and last.exc is None


def test_only_the_guard_catches_everything() -> None:
    found = {
        f"{name(path)}:{node.lineno}"
        for path in MODULES
        if path not in MAY_CATCH_ALL
        for node in ast.walk(tree(path))
        if isinstance(node, ast.ExceptHandler) and not raises_again(node)
        for caught in ([node.type] if not isinstance(node.type, ast.Tuple) else node.type.elts)
        if caught is None or (isinstance(caught, ast.Name) and caught.id in {"Exception", "BaseException"})
    }
    assert found == set()


def test_nothing_is_left_to_do() -> None:
    mark = "TO" + "DO"
    found = {
        f"{name(path)}:{token.start[0]}"
        for path in [*MODULES, *TESTS]
        for token in tokenize.generate_tokens(io.StringIO(path.read_text()).readline)
        if token.type == tokenize.COMMENT and (mark in token.string or "FIXME" in token.string)
    }
    assert found == set()


def test_every_module_says_what_it_is_for() -> None:
    empty = [name(path) for path in MODULES if path.read_text().strip() and not ast.get_docstring(tree(path))]
    assert empty == []
