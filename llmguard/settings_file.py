"""Reads the settings file: from YAML to `Settings`, or to every mistake with its line and key.

    bytes → text → a plain tree with places (`settings_yaml`) → models (`settings`)
                                                             → references (`settings_references`)

A mistake names where a value stands and what it should be, never the value itself.
"""

import json
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path as FilePath
from typing import Any, get_args

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from llmguard.mistakes import Mistake, Path, SettingsError
from llmguard.settings import Settings
from llmguard.settings_frozen import Frozen
from llmguard.settings_references import complaints
from llmguard.settings_yaml import Document, read_yaml

__all__ = ["Mistake", "SettingsError", "load", "parse"]

MAX_BYTES = 1 << 20

MESSAGES = {
    "missing": "is missing",
    "model_type": "must be a mapping of keys to values",
    "dict_type": "must be a mapping of keys to values",
    "tuple_type": "must be a list",
    "string_type": "must be text; put a number into quotes",
    "int_type": "must be a whole number",
    "float_type": "must be a number",
    "bool_type": "must be true or false",
    "union_tag_not_found": "is missing",
}


def load(path: FilePath, environ: Mapping[str, str]) -> Settings:
    """The settings in the file at `path`, with `env:NAME` read from `environ`; SettingsError otherwise."""
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise SettingsError((Mistake(None, "", f"cannot be read: {error.strerror}"),)) from None
    return parse(content, environ)


def parse(content: bytes, environ: Mapping[str, str]) -> Settings:
    """The settings in a file's content; SettingsError with all of its mistakes otherwise."""
    document = read_yaml(decoded(content))
    settings = validated(document, environ)
    if isinstance(document.tree, dict):
        for path, message in complaints(document.tree, environ):
            document.mistake(path, message)
    if settings is None or document.found:
        raise SettingsError(document.mistakes())
    return settings


def decoded(content: bytes) -> str:
    """The text; SettingsError where it is too long or not UTF-8."""
    if len(content) > MAX_BYTES:
        raise SettingsError((Mistake(None, "", f"is larger than {MAX_BYTES} bytes"),))
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise SettingsError((Mistake(line, "", "is not UTF-8"),)) from None


def validated(document: Document, environ: Mapping[str, str]) -> Settings | None:
    """The tree as models; None, with the mistakes noted, where it does not fit them.

    It goes through JSON because pydantic's strict mode, which takes no "8080" for a
    number and no `true` for 1, does take JSON's lists for tuples.
    """
    tree = {} if document.tree is None and () not in document.unread else document.tree
    try:
        return Settings.model_validate_json(json.dumps(tree), strict=True, context={"environ": environ})
    except ValidationError as error:
        for path, message in findings(error.errors(include_url=False, include_input=False), document):
            if path not in document.unread:
                document.mistake(path, message)
    return None


def findings(errors: list[ErrorDetails], document: Document) -> Iterator[tuple[Path, str]]:
    """Pydantic's errors as paths in the file and messages."""
    for error in errors:
        yield place_in_file(error, document), message_of(error)


def place_in_file(error: ErrorDetails, document: Document) -> Path:
    """The error's path without pydantic's own steps: a union's tag, and `[key]` for a key that is wrong itself."""
    path: Path = error["loc"]
    if path[:1] == ("upstreams",) and len(path) > 2 and path[-1] != "[key]":
        path = (*path[:2], *path[3:])
    if path[-1:] == ("[key]",) and path not in document.places:
        path = path[:-1]
    if error["type"] in ("union_tag_not_found", "union_tag_invalid"):
        path = (*path, "kind")
    return path


def message_of(error: ErrorDetails) -> str:
    """What is wrong, as a phrase that follows the key."""
    context: dict[str, Any] = error.get("ctx", {})
    match error["type"]:
        case "extra_forbidden":
            return "is not a known key" + suggestion(error["loc"])
        case "union_tag_invalid":
            return f"must be one of {context['expected_tags']}"
        case "string_pattern_mismatch":
            return f"must match {context['pattern']}"
        case "value_error":
            return str(context["error"])
        case kind if kind in MESSAGES:
            return MESSAGES[kind]
    message = error["msg"]
    for opening in ("Input should ", "String should ", "Value should ", "Tuple should "):
        message = message.replace(opening, "must ") if message.startswith(opening) else message
    return message


def suggestion(path: Path) -> str:
    """The known key that is most like the last step of `path`, as a question."""
    wrong = str(path[-1])
    known = {name for model in models_at(path[:-1]) for name in model.model_fields}
    close = get_close_matches(wrong[:64], sorted(known), n=1)
    return f"; did you mean {close[0]!r}?" if close else ""


def models_at(path: Path) -> list[type[Frozen]]:
    """The models that may stand at `path`; steps that are names or positions leave them as they are."""
    models: list[type[Frozen]] = [Settings]
    for step in path:
        inner = [found for model in models if step in model.model_fields
                 for found in models_in(model.model_fields[str(step)].annotation)]  # fmt: skip
        models = inner or models
    return models


def models_in(annotation: object) -> list[type[Frozen]]:
    """The models that a type is made of."""
    if isinstance(annotation, type) and issubclass(annotation, Frozen):
        return [annotation]
    return [model for part in get_args(annotation) for model in models_in(part)]
