"""Add to a trained mixture's card how its gate chose on held-out cases, and how much of the Dice on CT is left.

Both are of the very cases that the run was tested on. Beside the adapter lies `gate.json` with the key of what was
asked, so that a second call asks nothing again.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from ..adapters import attached
from ..adapters.artifact import copy_with_card, describe
from ..adapters.mixture import MixtureAdapter, gate_card, gate_report
from ..evaluation.analysis import MARGIN
from ..evaluation.coordinates import plain_rows
from ..evaluation.retention import retention_of
from ..evaluation.statistics import difference
from ..files import plain_values, replacing, write_json
from ..inference.load import load
from ..inference.strategies import strategy_of
from ..models.backbone import BackboneModule
from ..recipes.keys import digest, noted_key
from ..vocabulary import Context, Modality
from .jobs import EvaluateJob, ReportJob, TrainJob
from .workspace import Workspace

NOTE = "gate.json"
TEXT_AND_BOX = "text+box"


@dataclass(frozen=True, eq=False)
class WholeView:
    """One held-out case as a gate sees it.

    Attributes:
        images: (1, 1, D, H, W), all of it at the size of the network's window; None where the gate does not look.
        modalities: its own.
        contexts: one a structure.
    """

    images: Tensor | None
    modalities: tuple[Modality | None, ...]
    contexts: tuple[Context, ...]


def note_gates(report: ReportJob, table: pd.DataFrame, workspace: Workspace) -> tuple[str, ...]:
    """Write into the card of each trained mixture what its gate did and what is left of CT, where that is missing.

    Args:
        report: of the study, all of whose jobs are done.
        table: the rows of the study.

    Returns:
        The runs whose card was written.
    """
    plain = [job for job in report.evaluations if job.plain]
    rows = plain_rows(table)
    trained = {job.run for job in report.trainings}
    noted = []
    for job in report.trainings:
        adapter = workspace.trained(job.run, job.key) if job.kind == MixtureAdapter.method else None
        if adapter is None:
            continue
        untrained = next(
            (other.method for other in plain if other.part.run not in trained and other.base == job.base), None
        )
        base = [other for other in plain if other.method == untrained]
        tested = [other for other in plain if other.part.run == job.run]
        if not tested:
            continue
        key = digest([job.key, [other.part.key for other in (*tested, *base)]])
        if noted_key(adapter.with_name(NOTE)) == key:
            continue
        backbone = load(job.base, adapter=adapter, device=workspace.device)
        mixture = attached(backbone)
        assert isinstance(mixture, MixtureAdapter)
        gate = gate_report(mixture, whole_views(backbone, mixture, tested, workspace))
        left_alone = mixture.config.leaves_alone(Modality.CT)
        retention = ct_retention(rows, job, untrained, by_design=left_alone) if untrained else None
        card = {**describe(adapter)["card"], **gate_card(gate, retention)}
        with replacing(adapter) as temporary:
            copy_with_card(adapter, temporary, card)
        write_json(adapter.with_name(NOTE), {"key": key, "run": job.run})
        noted.append(job.run)
    return tuple(noted)


def whole_views(
    backbone: BackboneModule, mixture: MixtureAdapter, tested: Sequence[EvaluateJob], workspace: Workspace
) -> Iterator[WholeView]:
    """The tested cases, one at a time, prepared as a session prepares them, one window of each.

    Args:
        backbone: its spec says how to frame, and its device where the images go.
        mixture: only a learned gate is given images.
        tested: the contexts of a case are the structures that it is asked for, of those that it carries.
    """
    strategy = strategy_of(backbone.spec)
    for job in tested:
        case = workspace.store(job.store).read(job.part.case)
        structures = job.questions.structures or sorted(case.structures)
        carried = [name for name in structures if name in case.structures]
        modality, images = case.volume.modality, None
        if mixture.config.learned:
            framed = strategy.prepare(case.volume, backbone.spec)
            image = torch.from_numpy(np.asarray(framed.image)).to(backbone.device)
            images = strategy.overview(image, framed.pad, backbone.spec)
        yield WholeView(images, (modality,), tuple(Context(modality, name) for name in carried))


def ct_retention(
    table: pd.DataFrame, job: TrainJob, untrained: str, *, by_design: bool = False
) -> dict[str, Any] | None:
    """Paired difference of Dice on CT, this run minus the base, over patients; None where no CT was measured.

    Args:
        table: the plain rows of the study.
        job: of the run.
        untrained: the method that is the base.
        by_design: whether the gate sends CT to the identity expert whatever it sees.

    Returns:
        Plain values: "difference", over all prompt kinds ("prompts" names them), and "text+box" alone where it was
        asked: mean, low and high (95 % interval over patients, none below six), patients, rows; "kept": by dataset,
        whether Dice was kept within "margin", by equivalence; "unchanged": whether every answer has the same Dice to
        the last bit; "datasets".
    """
    rows = table[(table["modality"] == Modality.CT.value) & table["run"].isin([job.run, *_runs(table, untrained)])]
    ours = rows[rows["run"] == job.run]
    if ours.empty:
        return None
    method = str(ours["method"].iloc[0])
    cases = set(zip(ours["dataset"], ours["case"], strict=True))  # folds may have tested others
    rows = rows[[pair in cases for pair in zip(rows["dataset"], rows["case"], strict=True)]]
    change = difference(rows, method, untrained).estimate
    if not change.patients:
        return None
    datasets = list(dict.fromkeys(map(str, ours["dataset"])))
    retention: dict[str, Any] = {
        "compared": f"{job.run} minus {untrained}, Dice, paired by patient, 95 % interval",
        "prompts": list(dict.fromkeys(map(str, rows["prompt"]))),
        "datasets": datasets,
        "difference": plain_values(asdict(change)),
    }
    both = rows[rows["prompt"] == TEXT_AND_BOX]
    if not both.empty:
        retention[TEXT_AND_BOX] = plain_values(asdict(difference(both, method, untrained).estimate))
    retentions = retention_of(rows, method, untrained, datasets, MARGIN, [Modality.CT.value] if by_design else ())
    verdicts = {f"{retained.dataset}, {retained.modality}": retained.verdict.value for retained in retentions}
    return {
        **retention,
        "margin": MARGIN,
        "kept": verdicts,
        "unchanged": all(retained.unchanged for retained in retentions),
    }


def _runs(table: pd.DataFrame, method: str) -> list[str]:
    return list(map(str, table[table["method"] == method]["run"].unique()))
