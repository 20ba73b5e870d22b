"""`segevolution adapters explain`: what the tokens of context priors say about the structures they stand for."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .console import AsJson, Device, Force, Quiet, note, print_json, print_table

if TYPE_CHECKING:
    from ..adapters.explain import Explanation
    from ..imaging.volume import Volume
    from ..models.backbone import BackboneModule

SIMULATED_PATIENT, SIMULATED_SPACING = 0, (4.0, 4.0, 6.0)  # millimetres: a look at the whole torso is coarse anyway


def explain_command(
    adapter: Annotated[
        str, typer.Argument(metavar="ADAPTER", help="Of the method context_prior: a folder, or a name that ships.")
    ],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder for figures and tables; made, or replaced by --force.")
    ] = None,
    base: Annotated[
        str | None, typer.Option("--base", help="The model it was trained on: measure the additive part too.")
    ] = None,
    image: Annotated[Path | None, typer.Option(help="Image to measure on; default a simulated MRI of a torso.")] = None,
    modality: Annotated[str | None, typer.Option(help="Of the image: CT, MRI, PET or US.")] = None,
    device: Device = "auto",
    force: Force = False,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Compare the tokens of structures: similarity, maps, left and right, size of what they add to the mask tokens.

    No network is needed but for the last, which takes --base: there every structure is asked for once on one image.
    """
    from dataclasses import replace

    from ..adapters.explain import explain, write_explanation
    from ..adapters.shipped import find_adapter
    from ..errors import AdapterError
    from ..files import check_writable
    from ..inference.load import load
    from ..runtime import resolve_device

    if base is None and (image is not None or modality is not None):
        raise AdapterError("an image is measured with the network that reads it; name that one with --base.")
    resolve_device(device)
    folder = find_adapter(adapter)
    explanation = explain(folder)
    backbone = None if base is None else load(base, adapter=folder, device=device)
    volume = None if backbone is None else _volume(image, modality)
    if output is not None:
        check_writable(output, force=force)
    if backbone is not None and volume is not None:
        explanation = replace(explanation, added=_added(backbone, volume, quiet, explanation.structures))
    if output is not None:
        write_explanation(explanation, output, force=force)
        note(f"{output} holds the figures and tables.", quiet=quiet)
    if as_json:
        print_json(explanation.to_dict())
        return
    print_table(("structure", "moved", "nearest other", "cosine", "added"), _rows(explanation))
    for of, analogies in (("tokens", explanation.analogies), ("moves", explanation.moved_analogies)):
        for each in analogies[:1]:
            a, b, c, d = each.terms
            note(f"{of}: {a} - {b} + {c} against {d}: cosine {each.cosine:.2f}, rank {each.rank} of {each.among}.")


def _rows(found: "Explanation") -> list[tuple[object, ...]]:
    rows: list[tuple[object, ...]] = []
    for place, name in enumerate(found.structures):
        others = [(value, other) for other, value in enumerate(found.similarity[place]) if other != place]
        cosine, nearest_name = max(others, default=(None, None))
        added = found.added.get(name)
        rows.append(
            (
                name,
                f"{found.moved[place]:.2f}",
                "" if nearest_name is None else found.structures[nearest_name],
                "" if cosine is None else f"{cosine:.2f}",
                "" if added is None else f"{100 * added:.1f} %",
            )
        )
    return rows


def _added(backbone: "BackboneModule", volume: "Volume", quiet: bool, structures: tuple[str, ...]) -> dict[str, float]:
    """Mean relative size of what the prototypes add, by structure."""
    from ..adapters import ContextPriorAdapter, attached
    from ..imaging.prompts import Prompt, PromptKind
    from ..inference.session import Session
    from .console import progress_bar

    adapter = attached(backbone)
    assert isinstance(adapter, ContextPriorAdapter)
    session = Session(backbone, volume, windows="off")
    centre = [(side - 1) / 2 for side in volume.array.shape]
    says = PromptKind.TEXT in backbone.spec.accepts
    with progress_bar(quiet) as bar, adapter.measured() as sizes:
        for name in bar.track(structures, description="Asking"):
            prompt = Prompt(volume.grid, name) if says else Prompt.make(volume.grid, points=[centre])
            session.segment(prompt, structure=name)
    return {name: sum(values) / len(values) for name, values in sizes.items()}


def _volume(image: Path | None, modality: str | None) -> "Volume":
    from ..data.synthesis.patients import simulate_case
    from ..imaging.formats import read

    if image is not None:
        return read(image, modality=modality)
    return simulate_case(SIMULATED_PATIENT, modality=modality or "MRI", spacing=SIMULATED_SPACING).volume
