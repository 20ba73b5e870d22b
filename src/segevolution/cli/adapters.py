"""`segevolution adapters list|show|merge|combine|extract|explain|export`: what adapters are here, what one holds or
has learned, one made part of its base, several made one, one expert taken out, and one written for other programs."""

from pathlib import Path
from typing import Annotated

import typer

from .adapters_combine import combine_command
from .adapters_explain import explain_command
from .adapters_export import export_command
from .adapters_extract import extract_command
from .console import AsJson, Force, Quiet, note, print_json, print_table

app = typer.Typer(add_completion=False, no_args_is_help=True)

AdapterName = Annotated[
    str, typer.Argument(metavar="ADAPTER", help="An adapter folder, or the name of one that ships.")
]


@app.command("list")
def list_adapters(
    folder: Annotated[
        Path | None,
        typer.Argument(
            help="Where to look, folders within it included; default here, and what ships is listed first.",
            show_default=False,
        ),
    ] = None,
    json: AsJson = False,
) -> None:
    """List the adapters that ship and those in this folder and below, or those in another folder and below."""
    from ..adapters.artifact import describe, find_adapters
    from ..adapters.shipped import shipped
    from ..errors import AdapterError

    names = {str(path): name for name, path in shipped().items()} if folder is None else {}
    adapters, passed = [], []
    for path in [*map(Path, names), *find_adapters(folder or Path())]:
        try:
            adapters.append(describe(path))
        except AdapterError as error:
            passed.append(str(error))
    for sentence in passed:
        note(f"passed over: {sentence}")
    if json:
        print_json(adapters)
        return
    print_table(
        ("adapter", "method", "base", "trained", "MB"),
        [
            (
                names.get(each["folder"], each["folder"]),
                each["method"],
                each["base"]["name"],
                f"{each['trained']:,}",
                f"{each['bytes'] / 1e6:.2f}",
            )
            for each in adapters
        ],
    )


@app.command()
def show(adapter: AdapterName, json: AsJson = False) -> None:
    """Show one adapter: method, settings, base, size, and what its card says."""
    from ..adapters.artifact import describe, in_groups
    from ..adapters.shipped import find_adapter

    described = describe(find_adapter(adapter))
    if json:
        print_json(described)
        return
    base = described["base"]
    rows: list[tuple[str, object]] = [
        ("folder", described["folder"]),
        ("method", described["method"]),
        ("base", f"{base['name']} ({base['fingerprint'][:12]})"),
        ("trained", f"{described['trained']:,} values"),
        *([("of these", in_groups(described["trained_groups"]))] if described.get("trained_groups") else []),
        ("weights", f"{described['tensors']} tensors, {described['bytes'] / 1e6:.2f} MB"),
    ]
    rows += [(key, _words(value)) for part in ("settings", "card") for key, value in described[part].items()]
    print_table(("", ""), rows)


@app.command()
def merge(
    adapter: AdapterName,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of the merged model.")],
    base: Annotated[str, typer.Option("--base", help="The model it was trained on; default as the adapter says.")] = "",
    dtype: Annotated[str, typer.Option(help="Of the stored weights: float32 or float16.")] = "float32",
    force_base: Annotated[bool, typer.Option("--force-base", help="Merge it even into another base.")] = False,
    force: Force = False,
    quiet: Quiet = False,
) -> None:
    """Make an adapter part of its base and write the result as a model of its own."""
    from ..adapters import describe, load_adapter
    from ..adapters.shipped import find_adapter
    from ..errors import OutputError
    from ..models.checkpoints import check_replaceable, load_model, save_model
    from ..models.hub import find

    if dtype not in ("float32", "float16"):
        raise OutputError(f"weights cannot be stored as {dtype}; use float32 or float16.")
    folder = find_adapter(adapter)
    described = describe(folder)
    base = base or str(described["base"]["name"])
    model = load_model(find(base))
    load_adapter(folder, model, force=force_base).merge()
    check_replaceable(output, force=force)
    card = (
        f"# {output.name}\n\n{base} with the {described['method']} adapter {folder.name} merged into its weights.\n\n"
        f"Base fingerprint: `{described['base']['fingerprint']}`\n\nFor research only; not a medical device.\n"
    )
    save_model(model, output, "float16" if dtype == "float16" else "float32", card, force=force)
    note(f"{output} holds {base} with {adapter} merged in.", quiet=quiet)


app.command("combine")(combine_command)
app.command("extract")(extract_command)
app.command("explain")(explain_command)
app.command("export")(export_command)


def _words(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_words(item)}" for key, item in value.items())
    if isinstance(value, list):
        return ", ".join(map(_words, value)) or "none"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
