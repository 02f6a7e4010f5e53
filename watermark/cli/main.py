"""The command line of verification and of its keys.

It must start quickly: nothing that is imported at its top may import numpy or a tokenizer.
"""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from watermark.cli.options import Detecting, Issuing, Rotating

if TYPE_CHECKING:
    from watermark.keys.registry import Registry as KeyRegistry

Scheme = Literal[
    "gumbel-sglang",
    "gumbel-vllm",
    "kgw",
    "unigram",
    "synthid",
    "gumbel-sglang-dual",
    "gumbel-vllm-dual",
    "kgw-lefthash",
    "kgw-selfhash",
    "selection",
]
Json = Annotated[bool, typer.Option("--json", help="Report as JSON.")]
Registry = Annotated[
    str,
    typer.Option(
        metavar="FILE|URL", help="The key registry: a JSON file; with `llmguard watermark` also the URL of its Redis."
    ),
]
Tokenizer = Annotated[
    str | None,
    typer.Option(
        metavar="PATH-OR-MODEL-NAME",
        help="What the text was generated with: a tokenizer.json or its folder, a .gguf file, or smollm2. "
        "Only selection needs none.",
    ),
]
Width = Annotated[int | None, typer.Option(min=1, max=64, help="Tokens of context; else the scheme's or the key's.")]
Vocabulary = Annotated[
    int | None, typer.Option(min=1, help="The engine's vocabulary, for kgw and unigram; else the tokenizer's.")
]
KeyId = Annotated[str, typer.Argument(metavar="ID", help="The key's id: wm_…")]
Unmarked = Annotated[
    str | None,
    typer.Option(metavar="FILE|DIR", help="Unmarked texts: a key under which they look marked is passed over."),
]
Secret = Annotated[
    str,
    typer.Option(
        metavar="env:NAME", help="The variable with the guard's secret, from which every watermark key is derived."
    ),
]

app = typer.Typer(
    name="watermark",
    help="Verify whose watermark a text carries, and keep the keys.",
    no_args_is_help=True,
    # A traceback with the values of variables would show keys.
    pretty_exceptions_enable=False,
)
keys = typer.Typer(help="Issue, list, rotate, revoke and export watermark keys.", no_args_is_help=True)
app.add_typer(keys, name="keys")


@app.callback()
def main() -> None:
    """Verify whose watermark a text carries, and keep the keys."""


def place(context: typer.Context, name: str) -> "Path | KeyRegistry":
    """A registry's file, or what whoever runs this command makes of a URL: the library itself knows files alone."""
    if "://" not in name:
        return Path(name)
    if context.obj is None:
        typer.echo("watermark: a registry with a URL is the guard's: use `llmguard watermark`", err=True)
        raise typer.Exit(2)
    found: KeyRegistry = context.obj(name)
    return found


@app.command("detect")
def detect(
    context: typer.Context,
    paths: Annotated[
        list[str], typer.Argument(metavar="FILE|DIR|-", help="Text, JSONL, Markdown, HTML, PDF; - is standard input.")
    ],
    tokenizer: Tokenizer = None,
    scheme: Annotated[
        Scheme | None,
        typer.Option(
            help="gumbel-vllm where a --key is given and nothing else; selection tests all texts together, without a "
            "tokenizer."
        ),
    ] = None,
    key: Annotated[
        list[str] | None,
        typer.Option(metavar="HEX", help="A key, its words joined by colons; with --registry an id in it. Repeatable."),
    ] = None,
    registry: Annotated[
        str | None, typer.Option(metavar="FILE|URL", help="A key registry, or a bundle that was exported from one.")
    ] = None,
    vllm_config: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The --watermark-config of a vLLM, whose key is tested.")
    ] = None,
    context_width: Width = None,
    vocabulary: Vocabulary = None,
    fpr: Annotated[float, typer.Option(help="The chance of a false accusation, over all keys of one text.")] = 1e-6,
    reference: Annotated[
        str | None,
        typer.Option(metavar="FILE|DIR", help="Texts known to be unmarked: a key found in them accuses nobody."),
    ] = None,
    field: Annotated[str, typer.Option(help="Where a line of JSONL holds its text.")] = "text",
    as_json: Annotated[bool, typer.Option("--json", help="A line of JSON for each document.")] = False,
    html: Annotated[Path | None, typer.Option(metavar="FILE", help="Write a report with the spans coloured.")] = None,
) -> None:
    """Say of each text whether it carries a mark of one of the keys.

    Exit status: 0 where a text is marked; else 2 where of some text nobody can tell, or for bad
    usage, with the reason; else 1. A mark that is not found proves nothing: a paraphrase has none.
    """
    # Here and in `manage` numpy and the tokenizers come in, which takes a second.
    from watermark.cli.detect import run  # noqa: PLC0415

    options = Detecting(
        paths=tuple(paths),
        tokenizer=tokenizer,
        scheme=scheme,
        keys=tuple(key or ()),
        registry=None if registry is None else place(context, registry),
        vllm_config=vllm_config,
        width=context_width,
        vocabulary=vocabulary,
        fpr=fpr,
        reference=reference,
        field=field,
        as_json=as_json,
        html=html,
    )
    raise typer.Exit(run(options, stdin=sys.stdin.buffer))


@keys.command("issue")
def issue(
    context: typer.Context,
    registry: Registry,
    tenant: Annotated[str, typer.Option(help="Whose texts it marks.")],
    model: Annotated[str, typer.Option(help="The model whose texts it marks.")],
    tokenizer: Tokenizer = None,
    scheme: Annotated[Scheme, typer.Option(help="How it marks.")] = "gumbel-vllm",
    context_width: Width = None,
    vocabulary: Vocabulary = None,
    unmarked: Unmarked = None,
    secret: Secret = "env:LLMGUARD_SECRET",  # noqa: S107  the name of a variable
    as_json: Json = False,
) -> None:
    """Issue a tenant's next key. Keys that the format could not tell apart are passed over."""
    from watermark.cli import manage  # noqa: PLC0415  as above

    options = Issuing(tenant, model, tokenizer, scheme, context_width, vocabulary, unmarked, secret)
    raise typer.Exit(manage.issue(place(context, registry), options, as_json))


@keys.command("list")
def list_keys(context: typer.Context, registry: Registry, as_json: Json = False) -> None:
    """List the keys, without what is secret of them."""
    from watermark.cli import manage  # noqa: PLC0415  as above

    raise typer.Exit(manage.list_keys(place(context, registry), as_json))


@keys.command("rotate")
def rotate(
    context: typer.Context,
    registry: Registry,
    id: KeyId,
    unmarked: Unmarked = None,
    tokenizer: Annotated[
        str | None, typer.Option(metavar="PATH-OR-MODEL-NAME", help="The key's tokenizer, which --unmarked needs.")
    ] = None,
    secret: Secret = "env:LLMGUARD_SECRET",  # noqa: S107  the name of a variable
    as_json: Json = False,
) -> None:
    """Issue a key's successor, which marks from now on; the old one goes on verifying."""
    from watermark.cli import manage  # noqa: PLC0415  as above

    raise typer.Exit(manage.rotate(place(context, registry), id, Rotating(unmarked, tokenizer, secret), as_json))


@keys.command("revoke")
def revoke(context: typer.Context, registry: Registry, id: KeyId, as_json: Json = False) -> None:
    """Disown a key: from now on it neither marks nor proves anything."""
    from watermark.cli import manage  # noqa: PLC0415  as above

    raise typer.Exit(manage.revoke(place(context, registry), id, as_json))


@keys.command("export")
def export(
    context: typer.Context,
    registry: Registry,
    ids: Annotated[list[str] | None, typer.Argument(metavar="[ID]...", help="The keys; else all.")] = None,
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="Where to; else standard output.")] = None,
) -> None:
    """Export what a verifier needs of keys, without tenants: who holds it can detect marks, and forge them."""
    from watermark.cli import manage  # noqa: PLC0415  as above

    raise typer.Exit(manage.export(place(context, registry), tuple(ids or ()), out))


@keys.command("vllm-config")
def vllm_config(context: typer.Context, registry: Registry, id: KeyId) -> None:
    """Write a key of gumbel-vllm as what vLLM's --watermark-config takes: a secret."""
    from watermark.cli import manage  # noqa: PLC0415  as above

    raise typer.Exit(manage.vllm_config(place(context, registry), id))
