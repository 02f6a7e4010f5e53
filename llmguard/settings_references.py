"""What in the settings refers to something else, checked on the plain tree of the file.

The tree and not the models, so that a name that leads nowhere is told in the same run
as a value of the wrong type elsewhere. Whatever has not the right shape is passed over
here: the models say so themselves.
"""

from collections.abc import Callable, Iterator, Mapping
from difflib import get_close_matches
from fnmatch import fnmatchcase

from llmguard.mistakes import Path, dotted
from llmguard.settings import EMBEDDED_MODELS
from llmguard.settings_values import LOCAL_STORES, from_environment
from llmguard.tokenizer_files import missing

Complaint = tuple[Path, str]
Entry = Mapping[str, object]


def complaints(tree: Entry, environ: Mapping[str, str]) -> Iterator[Complaint]:
    """Every reference that does not hold, as the path of what refers and a message."""
    for check in CHECKS:
        yield from check(tree, environ)


def table(tree: Entry, name: str) -> Entry:
    """The mapping called `name`; empty where there is none."""
    found = tree.get(name)
    return found if isinstance(found, dict) else {}


def entries(tree: Entry, name: str) -> Iterator[tuple[str, Entry]]:
    """The entries of the mapping called `name` that are mappings themselves."""
    return ((key, value) for key, value in table(tree, name).items() if isinstance(value, dict))


def items(tree: Entry, name: str) -> list[object]:
    """The list called `name`; empty where there is none."""
    found = tree.get(name)
    return found if isinstance(found, list) else []


def unknown(what: str, name: str, known: Entry) -> str:
    """The message for a name that leads nowhere."""
    close = get_close_matches(name[:64], list(known), n=1)
    return f"there is no {what} of this name" + (f"; did you mean {close[0]!r}?" if close else "")


def upstreams_of_models(tree: Entry, environ: Mapping[str, str]) -> Iterator[Complaint]:
    """A model's upstream exists; an embedded one has the model, for its task."""
    upstreams = table(tree, "upstreams")
    for name, model in entries(tree, "models"):
        path = ("models", name)
        upstream, real, task = model.get("upstream"), model.get("model"), model.get("task")
        if not isinstance(upstream, str):
            continue
        if upstream not in upstreams:
            yield (*path, "upstream"), unknown("upstream", upstream, upstreams)
        elif kind(upstreams[upstream]) == "embedded" and isinstance(real, str):
            if real not in EMBEDDED_MODELS:
                yield (*path, "model"), f"is not embedded; there are {', '.join(EMBEDDED_MODELS)}"
            elif isinstance(task, str) and task != EMBEDDED_MODELS[real]:
                yield (*path, "task"), f"must be {EMBEDDED_MODELS[real]!r} for this embedded model"


def kind(upstream: object) -> object:
    """The kind of an upstream."""
    return upstream.get("kind") if isinstance(upstream, dict) else None


def fallbacks(tree: Entry, environ: Mapping[str, str]) -> Iterator[Complaint]:
    """A fallback is another model, of the same task, and no chain of them comes back to its start."""
    models = table(tree, "models")
    for name, model in entries(tree, "models"):
        for index, fallback in enumerate(items(model, "fallbacks")):
            path: Path = ("models", name, "fallbacks", index)
            if not isinstance(fallback, str):
                continue
            if fallback == name:
                yield path, "is the model itself"
            elif fallback not in models:
                yield path, unknown("model", fallback, models)
            elif task(models[fallback]) != model.get("task"):
                yield path, "is a model with another task"
            elif reaches(models, fallback, name):
                yield path, "leads back to this model"


def task(model: object) -> object:
    """The task of a model."""
    return model.get("task") if isinstance(model, dict) else None


def reaches(models: Entry, start: str, goal: str) -> bool:
    """Whether following fallbacks from `start` leads to `goal`."""
    seen, waiting = {start}, [start]
    while waiting:
        model = models.get(waiting.pop())
        steps = (
            {step for step in items(model, "fallbacks") if isinstance(step, str)} if isinstance(model, dict) else set()
        )
        if goal in steps:
            return True
        waiting.extend(steps - seen)
        seen |= steps
    return False


def patterns(tree: Entry, environ: Mapping[str, str]) -> Iterator[Complaint]:
    """Every model pattern of a policy, of its limits and of a group matches a model; a limit's @group exists."""
    models, groups = table(tree, "models"), table(tree, "groups")
    lists: list[tuple[Path, list[object]]] = [(("groups", name), items(groups, name)) for name in groups]
    for name, policy in entries(tree, "policies"):
        lists.append((("policies", name, "models"), items(policy, "models")))
        for index, limit in enumerate(items(policy, "limits")):
            if isinstance(limit, dict):
                lists.append((("policies", name, "limits", index, "models"), items(limit, "models")))
    for path, listed in lists:
        for place, pattern in enumerate(listed):
            if not isinstance(pattern, str):
                continue
            if len(path) == 5 and pattern.startswith("@"):
                if pattern[1:] not in groups:
                    yield (*path, place), unknown("group", pattern[1:], groups)
            elif pattern != "*" and not any(fnmatchcase(model, pattern) for model in models):
                yield (*path, place), "matches no model"


def degrading(tree: Entry, environ: Mapping[str, str]) -> Iterator[Complaint]:
    """A limit that degrades has something to degrade to, and that is a model of the policy's own."""
    models = table(tree, "models")
    for name, policy in entries(tree, "policies"):
        degrade = table(policy, "degrade")
        cheaper = degrade.get("model")
        if isinstance(cheaper, str) and cheaper not in models:
            yield ("policies", name, "degrade", "model"), unknown("model", cheaper, models)
        elif isinstance(cheaper, str) and not any(
            isinstance(pattern, str) and fnmatchcase(cheaper, pattern) for pattern in items(policy, "models") or ["*"]
        ):
            yield ("policies", name, "degrade", "model"), "is not among the policy's own models"
        for index, limit in enumerate(items(policy, "limits")):
            if isinstance(limit, dict) and limit.get("on_exceed") == "degrade" and not degrade:
                yield (
                    ("policies", name, "limits", index, "on_exceed"),
                    "needs `degrade` in the policy, with a model or max_output_tokens",
                )


def private_labels(tree: Entry, environ: Mapping[str, str]) -> Iterator[Complaint]:
    """Private labels are told alone, and their budget holds one of them."""
    for name, policy in entries(tree, "policies"):
        outputs = table(policy, "outputs")
        privacy, path = table(outputs, "privacy"), ("policies", name, "outputs", "privacy")
        if not privacy:
            continue
        if outputs.get("scores", "label") != "label":
            yield path, "needs `scores: label`: scores tell more than it hides"
        epsilon, budget = privacy.get("epsilon"), privacy.get("budget")
        if isinstance(epsilon, int | float) and isinstance(budget, int | float) and budget < epsilon:
            yield (*path, "budget"), "is less than epsilon: not one label could be told"


def responses(tree: Entry, environ: Mapping[str, str]) -> Iterator[Complaint]:
    """A policy that degrades who is flagged says how; no response stands twice, and none after a block."""
    for name, policy in entries(tree, "policies"):
        respond = items(table(policy, "prompts"), "respond")
        path: Path = ("policies", name, "prompts", "respond")
        for place, response in enumerate(respond):
            if response in respond[:place]:
                yield (*path, place), "stands there already"
            elif "block" in respond[:place] and response in ("throttle", "challenge", "degrade"):
                yield (*path, place), "stands after a block, where nothing is served"
            elif response == "degrade" and not table(policy, "degrade"):
                yield (*path, place), "needs `degrade` in the policy, with a model or max_output_tokens"


def webhooks(tree: Entry, environ: Mapping[str, str]) -> Iterator[Complaint]:
    """A webhook's posts are signed."""
    alerts = table(tree, "alerts")
    if alerts.get("webhook") is not None and alerts.get("secret") is None:
        yield ("alerts", "secret"), "is needed: what is posted to the webhook is signed with it"


def policies_of_keys(tree: Entry, environ: Mapping[str, str]) -> Iterator[Complaint]:
    """A key's policy exists, and no two keys have one id."""
    policies = table(tree, "policies")
    ids: dict[str, Path] = {}
    for index, key in enumerate(items(tree, "keys")):
        path: Path = ("keys", index)
        if not isinstance(key, dict):
            continue
        policy, name = key.get("policy"), key.get("id")
        if isinstance(name, str):
            if name in ids:
                yield (*path, "id"), f"is also the id of {dotted(ids[name])}"
            ids.setdefault(name, path)
        if isinstance(policy, str) and policy not in policies:
            yield (*path, "policy"), unknown("policy", policy, policies)


def secrets(tree: Entry, environ: Mapping[str, str]) -> Iterator[Complaint]:
    """No secret opens two doors: the master secret, the admin's token and every key differ."""
    holders: list[tuple[Path, object]] = [
        (("secret",), tree.get("secret")),
        (("admin", "token"), table(tree, "admin").get("token")),
        (("alerts", "secret"), table(tree, "alerts").get("secret")),
        *((("keys", index, "secret"), key.get("secret"))
          for index, key in enumerate(items(tree, "keys")) if isinstance(key, dict)),
    ]  # fmt: skip
    seen: dict[str, Path] = {}
    for path, given in holders:
        if not isinstance(given, str):
            continue
        try:
            value = from_environment(given, environ)
        except ValueError:
            continue
        if value in seen:
            yield path, f"is the same as {dotted(seen[value])}"
        seen.setdefault(value, path)


def processes(tree: Entry, environ: Mapping[str, str]) -> Iterator[Complaint]:
    """More than one process or replica needs a store that they share, and models outside of them."""
    workers, replicas = table(tree, "server").get("workers"), table(tree, "store").get("replicas")
    url = table(tree, "store").get("url", "file:./llmguard-data")
    local = False
    if isinstance(url, str):
        try:
            local = from_environment(url, environ).partition(":")[0] in LOCAL_STORES
        except ValueError:
            local = False
    if isinstance(workers, int) and workers > 1:
        if local:
            yield (
                ("server", "workers"),
                "must be 1 with a file: or memory: store, which is of one process; use redis://",
            )
        if any(kind(upstream) == "embedded" for _, upstream in entries(tree, "upstreams")):
            yield ("server", "workers"), "must be 1 with an embedded upstream, which is loaded by one process"
    if isinstance(replicas, int) and replicas > 1 and local:
        yield ("store", "replicas"), "must be 1 with a file: or memory: store, which is of one process; use redis://"
    if "directory" in table(tree, "similarity") and any(isinstance(n, int) and n > 1 for n in (workers, replicas)):
        yield ("similarity", "directory"), "is of one process: server.workers and store.replicas must be 1 with it"


def similarity(tree: Entry, environ: Mapping[str, str]) -> Iterator[Complaint]:
    """The model that texts are compared with exists, and embeds."""
    models, chosen = table(tree, "models"), table(tree, "similarity").get("model")
    if not isinstance(chosen, str):
        return
    if chosen not in models:
        yield ("similarity", "model"), unknown("model", chosen, models)
    elif task(models[chosen]) != "embedding":
        yield ("similarity", "model"), "is no embedding model"


def tokenizers(tree: Entry, environ: Mapping[str, str]) -> Iterator[Complaint]:
    """A model's tokenizer is there, and no other than the one that an embedded model has."""
    upstreams = table(tree, "upstreams")
    for name, model in entries(tree, "models"):
        tokenizer, upstream = model.get("tokenizer"), model.get("upstream")
        if not isinstance(tokenizer, str) or not tokenizer:
            continue
        path = ("models", name, "tokenizer")
        if isinstance(upstream, str) and kind(upstreams.get(upstream)) == "embedded":
            yield path, "is not for an embedded model, which has its own"
        elif reason := missing(tokenizer):
            yield path, reason


def plugins(tree: Entry, environ: Mapping[str, str]) -> Iterator[Complaint]:
    """Only a vLLM can run with the logits processor that is written for it."""
    for name, upstream in entries(tree, "upstreams"):
        if upstream.get("watermark_plugin") is True and upstream.get("engine") != "vllm":
            yield ("upstreams", name, "watermark_plugin"), "is for `engine: vllm` alone"


CHECKS: tuple[Callable[[Entry, Mapping[str, str]], Iterator[Complaint]], ...] = (
    upstreams_of_models,
    fallbacks,
    tokenizers,
    patterns,
    degrading,
    private_labels,
    responses,
    webhooks,
    policies_of_keys,
    secrets,
    processes,
    similarity,
    plugins,
)
