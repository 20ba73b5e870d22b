"""`segevolution models`: which models are here, what each one is, fetching and converting."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from .console import AsJson, Force, Quiet, note, print_json, print_table
from .models_calibrate import calibrate
from .models_export import export_command

app = typer.Typer(
    add_completion=False, no_args_is_help=True, help="List, show, pull, convert, export and calibrate models."
)
app.command()(calibrate)
app.command("export")(export_command)

RESEARCH_ONLY = "For research only; not a medical device."
CARD_LINES = 12


class Form(StrEnum):
    """What `convert` writes."""

    SEGEVOLUTION = "segevolution"
    PUBLISHED = "published"


@app.command("list")
def list_models(as_json: AsJson = False) -> None:
    """List the models that ship with the package or were pulled."""
    from ..models import hub

    entries = hub.list_models()
    if as_json:
        print_json(
            [
                {
                    "name": entry.name,
                    "origin": entry.origin,
                    "network": entry.network,
                    "bytes": entry.size,
                    "folder": str(entry.folder),
                }
                for entry in entries
            ]
        )
        return
    print_table(
        ("name", "origin", "network", "weights", "folder"),
        [(e.name, e.origin, e.network, f"{e.size / 1e6:.1f} MB", e.folder) for e in entries],
    )


@app.command()
def show(
    name: Annotated[str, typer.Argument(help="A name from `models list`, or a model folder.")],
    as_json: AsJson = False,
) -> None:
    """Show what a model is: network, size, window, prompts, structures, card and fingerprint."""
    from ..models import checkpoints, hub
    from ..models.cards import read_card

    folder = hub.find(name)
    model = checkpoints.load_model(folder)
    spec = model.spec
    record = hub.pulled_record(folder)
    card = read_card(folder)
    facts: dict[str, object] = {
        "name": name,
        "folder": str(folder),
        "pulled from": hub.pulled_from(folder),
        "commit": record and record.commit,
        "network": checkpoints.read_config(folder)["network"],
        "parameters": checkpoints.count_parameters(model),
        "window": list(spec.window),
        "accepts": sorted(spec.accepts),
        "intensity": spec.intensity,
        "structures": list(spec.structures),
        "adaptable layers": len(spec.adaptable),
        "fingerprint": checkpoints.fingerprint(model),
        "licence": card.licence or "not stated in the card",
        "note": RESEARCH_ONLY,
        "card": _first_lines(card.title, card.text),
    }
    if as_json:
        print_json({key.replace(" ", "_"): value for key, value in facts.items()})
        return
    no_names = "any text may be tried" if "text" in spec.accepts else "it reads no text"
    model_facts = {
        **facts,
        "parameters": f"{facts['parameters']:,}",
        "window": " x ".join(map(str, spec.window)) + " voxels (D, H, W)",
        "accepts": ", ".join(sorted(spec.accepts)),
        "structures": ", ".join(spec.structures) or no_names,
    }
    print_table(("", ""), [(key, value) for key, value in model_facts.items() if value is not None])


@app.command()
def pull(
    source: Annotated[
        str, typer.Argument(help="A repository such as BAAI/SegVol, litemedsam, or a folder in SegVol's layout.")
    ],
    revision: Annotated[str | None, typer.Option(help="Branch, tag or commit of the repository.")] = None,
    force: Force = False,
    quiet: Quiet = False,
) -> None:
    """Fetch a model from the Hugging Face hub and keep it converted; a second call finds it there."""
    from ..models import hub

    note(f"Fetching {source} ...", quiet=quiet)
    folder = hub.pull(source, revision, force=force)
    record = hub.pulled_record(folder)
    if record is not None and record.commit is not None:
        note(f"{source} at commit {record.commit}; --revision fetches another.", quiet=quiet)
    typer.echo(folder)


@app.command()
def convert(
    source: Annotated[str, typer.Argument(help="A published checkpoint, a model folder, or a model's name.")],
    target: Annotated[Path, typer.Argument(help="A folder; or the file to write with --to published.")],
    to: Annotated[Form, typer.Option(help="The form to write.")] = Form.SEGEVOLUTION,
    system: Annotated[
        str | None,
        typer.Option(
            "--as", help="Whose checkpoint it is: sam, medsam, sam-med2d, litemedsam, sam-med3d or nninteractive."
        ),
    ] = None,
    force: Force = False,
    quiet: Quiet = False,
) -> None:
    """Convert published weights to a model folder, or a SegVol folder back to the published naming."""
    from ..models import checkpoints, hub
    from ..models.segvol import published

    note(f"Converting {source} ...", quiet=quiet)
    if to is Form.PUBLISHED:
        published.to_published(checkpoints.load_model(hub.find(source)), target, force=force)
    else:
        path = Path(source).expanduser()
        hub.convert(path if path.exists() else hub.find(source), target, system=system, force=force)
    typer.echo(target)


def _first_lines(title: str, text: str) -> str:
    """The beginning of a card."""
    heading = [f"# {title}", ""] if title else []
    return "\n".join([*heading, *text.splitlines()][:CARD_LINES]).strip()
