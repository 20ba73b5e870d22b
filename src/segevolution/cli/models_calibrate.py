"""`segevolution models calibrate`: learn on labelled patients what a model's own estimate of its overlap is worth."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import StoreError
from .console import AsJson, Device, Quiet, note, print_json, print_table, progress_bar

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..data.record import CaseRecord
    from ..inference.calibration import Measured
    from ..vocabulary import Modality


def calibrate(
    name: Annotated[str, typer.Argument(help="A name from `models list`, or a model folder.")],
    stores: Annotated[list[Path], typer.Argument(help="Stores of patients whom it was not trained on, with labels.")],
    cases: Annotated[
        str | None, typer.Option(metavar="CASE,CASE,...", help="These cases only; default all of the stores.")
    ] = None,
    adapter: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Calibrate the model with this adapter; kept in the adapter's folder."),
    ] = None,
    absent: Annotated[
        str,
        typer.Option(metavar="NAME,NAME,...", help="Structures that no scan here shows; answers to them are counted."),
    ] = "",
    check: Annotated[
        bool, typer.Option("--check", help="Learn from moved prompts, too, for segment --check; twice as long.")
    ] = False,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder for calibration.json; default beside the weights.")
    ] = None,
    device: Device = "auto",
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Ask a model about labelled patients and keep what its estimates are worth, in calibration.json.

    Each structure is asked by text, points, box and text with either; what is learned is measured by leaving one
    patient out. A case of ten structures takes about a minute on two cores.
    """
    from ..adapters.artifact import WEIGHTS as ADAPTER_WEIGHTS
    from ..adapters.shipped import find_adapter
    from ..data.store import Store
    from ..evaluation.calibration_fit import fitted
    from ..evaluation.calibration_rows import CalibrationRow, calibration_rows
    from ..inference.calibration import write_calibration
    from ..inference.load import load
    from ..models import hub
    from ..models.checkpoints import WEIGHTS
    from ..vocabulary import canonical

    opened = [Store.open(path) for path in stores]
    case_names = None if cases is None else {case.strip() for case in cases.split(",")}
    chosen = [(store, case) for store in opened for case in store.names if case_names is None or case in case_names]
    lacking = sorted((case_names or set()) - {case for _, case in chosen})
    if lacking:
        raise StoreError(f"no store here has a case {lacking[0]}; see data show.")
    modalities = _modalities([store.record(case) for store, case in chosen])
    missing = tuple(canonical(word) for word in absent.split(",") if word.strip())
    folder, weights = hub.find(name), WEIGHTS
    if adapter is not None:
        folder, weights = find_adapter(adapter), ADAPTER_WEIGHTS
    backbone = load(name, adapter=adapter, device=device)
    rows: dict[Modality, list[CalibrationRow]] = {}
    note(f"{len(chosen)} cases, each some minutes on a CPU", quiet=quiet)
    with progress_bar(quiet) as bar:
        task = bar.add_task("", total=len(chosen))
        for done, ((store, case_name), modality) in enumerate(zip(chosen, modalities, strict=True)):
            case = store.read(case_name)

            def tell(structure: str, done: int = done, case_name: str = case_name) -> None:
                bar.update(task, completed=done, description=f"{case_name}: {structure}")

            modality_rows = calibration_rows(backbone, case, absent=missing, check=check, progress=tell)
            rows.setdefault(modality, []).extend(modality_rows)
    names = sorted({dataset for store in opened for dataset in store.datasets} or {store.path.name for store in opened})
    data = f"{', '.join(names)}: {', '.join(case for _, case in chosen)}"
    curves = {modality: fitted(modality_rows, modality, data) for modality, modality_rows in rows.items()}
    path = write_calibration(folder if output is None else output, folder / weights, curves)
    if as_json:
        print_json({str(modality): each.measured.model_dump() for modality, each in curves.items()})
    else:
        columns = ("modality", "prompt", "calibration error before", "after", "poor flagged", "good flagged", "absent")
        print_table(columns, [row for key, each in curves.items() for row in _rows(str(key), each.measured)])
    note(f"wrote {path}", quiet=quiet)


def _modalities(records: "Sequence[CaseRecord]") -> "list[Modality]":
    """The modality of each case; refuses cases that cannot be calibrated on, before anything is asked.

    Raises:
        StoreError: there is no case, or one has no modality.
        CheckpointError: a modality has too few patients.
    """
    from ..evaluation.calibration_fit import require_patients

    if not records:
        raise StoreError("the stores hold no case to ask about; see data show.")
    modalities: list[Modality] = []
    patients: dict[Modality, set[str]] = {}
    for record in records:
        if record.modality is None:
            raise StoreError(f"{record.name} has no modality; prepare it with --modality.")
        modalities.append(record.modality)
        patients.setdefault(record.modality, set()).add(f"{record.dataset}/{record.patient}")
    for modality, persons in patients.items():
        require_patients(persons, modality)
    return modalities


def _rows(modality: str, measured: "Measured") -> list[tuple[str, ...]]:
    kinds = [
        (modality, kind, _before(measured, kind), f"{measured.error_after[kind]:.3f}", "", "", "")
        for kind in measured.error_after
    ]
    counts = (
        f"{measured.poor_flagged} of {measured.poor}",
        f"{measured.good_flagged} of {measured.good}",
        f"{measured.absent_flagged} of {measured.absent}",
    )
    return [*kinds, (modality, f"all, {measured.answers} answers", "", "", *counts)]


def _before(measured: "Measured", kind: str) -> str:
    """A dash for a model that estimates no overlap of its own."""
    return f"{measured.error_before[kind]:.3f}" if kind in measured.error_before else "-"
