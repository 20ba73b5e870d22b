"""The request behind `segevolution adapt`, and the study that answers it, with good defaults."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from ..adapters.artifact import WORK
from ..data.record import CaseRecord
from ..data.sources import Overrides
from ..data.store import Store
from ..errors import AdapterError
from ..imaging.prompts import COMBINATIONS
from ..models import hub
from ..models.backbone import BackboneModule, Spec
from ..recipes.roles import patient_names
from ..studies.recipe import UNTRAINED, Recipe
from ..vocabulary import Modality
from .data import PatientCounts, PreparedDataset, Shares, name_of
from .start import Beginning

MethodName = Literal["lora", "mixture", "prior", "full", "decoder", "bias"]
METHODS: tuple[MethodName, ...] = get_args(MethodName)

# Five CHAOS patients, 14 tested in two folds, the mixture from the expert: 120 steps .82 by text, 600 steps .86. Long
# training costs scans of other clinics, which a third of the views in other contrasts and a quarter of the start keep;
# so 900 steps show as many views as they are as 600 did. Measured: docs/explanation/segvol_mini.md.
STEPS = 900
CONTRASTS = 0.33  # of the views of MRI
START_SHARE = 0.25  # where training begins with an adapter, or at a model that answers such scans itself
REPLAYED, FIRST_SEED = 4, 900_000  # simulated CT patients; segvol-mini learned from none of these seeds
RETENTION = ("liver", "spleen", "right kidney", "left kidney", "aorta", "stomach")
MOST_VALIDATED = 8  # patients; a validation is to cost little
LONG = 1_000_000  # steps that nobody reaches: the time ends the run
SIMULATED, NONE = "simulated", "none"

# Times the rate: on 16 patients of the hippocampus it took text from .55 to .63, and that of CT from .60 to .55.
NEW_NAMES = 3
# LoRA on 5 CHAOS patients: CT with text changed by -.022 in place of -.051; MRI with text+box was .83 in place of .84.
RETAIN = 0.5
_RATES: dict[MethodName, float] = {"full": 3e-4, "decoder": 5e-4, "bias": 2e-3}


@dataclass(frozen=True)
class AdaptRequest:
    """What a laboratory asks for.

    Attributes:
        dataset: a source's folder, or a store.
        output: the adapter's folder.
        method: one of METHODS.
        base: a model's name or folder.
        source: the layout, or "auto".
        overrides: what its files do not say; with a store, nothing.
        structures: to learn and to measure; empty = all that are labelled.
        wishes: who learns and who tests.
        steps: of training; None = STEPS, or as many as `minutes` allow.
        minutes: after which training stops; None = no limit.
        seed: of training.
        replay: CT that is mixed in, so that it is not forgotten: "simulated", "none", or the path of a store; None
            takes simulated CT where the method needs it.
        simulated: simulated CT patients on which forgetting is measured; 0 = none.
        ct: a store of real CT on which it is measured too.
        start: an adapter that training begins with, a folder or a name that ships; "none" begins at the bare base;
            None takes the expert that answers these scans where one ships, see `start.choose_beginning`.
        start_share: share, in [0, 1), of what training began with in the adapter that is kept; more of it keeps more of
            other clinics' scans, and less of what was learned, see `FitSettings.start_share`; None = START_SHARE where
            training begins with an adapter or at a model that answers such scans, else 0.
    """

    dataset: Path
    output: Path
    method: MethodName = "lora"
    base: str = hub.DEFAULT
    source: str = "auto"
    overrides: Overrides = field(default_factory=Overrides)
    structures: tuple[str, ...] = ()
    wishes: PatientCounts = field(default_factory=PatientCounts)
    steps: int | None = None
    minutes: float | None = None
    seed: int = 0
    replay: str | None = None
    simulated: int = 6
    ct: Path | None = None
    start: str | None = None
    start_share: float | None = None

    @property
    def work(self) -> Path:
        """Where all stays that the adapter is made from."""
        return self.output.with_name(f"{self.output.name}{WORK}")

    def told(self) -> dict[str, Any]:
        """Plain values, for the report and to know the same request again."""
        values = asdict(self)
        del values["output"]
        values["dataset"] = str(self.dataset.resolve())
        for name in ("start", "start_share"):  # added later; requests of before stay the same
            if values[name] is None:
                del values[name]
        plain: dict[str, Any] = json.loads(json.dumps(values, default=str))
        return plain


def make_recipe(
    request: AdaptRequest,
    brought: PreparedDataset,
    structures: Sequence[str],
    taught: Sequence[CaseRecord],
    spec: Spec,
    layers: Mapping[str, list[str]],
    shares: Shares,
    beginning: Beginning,
) -> tuple[Recipe, tuple[str, ...]]:
    """The study that answers a request, and which of its datasets tell what was forgotten.

    Args:
        request: see AdaptRequest.
        brought: its dataset.
        structures: learned and measured.
        taught: cases that are learned from.
        spec: of the base.
        layers: of `chosen_layers`.
        shares: who learns, who chooses and who tests.
        beginning: which base, and what the training begins with.

    Raises:
        AdapterError: the method cannot learn from these patients.
        RecipeError: a value cannot be.
    """
    modalities = {record.modality for record in taught}
    own_dataset: dict[str, Any] = {
        "name": brought.name,
        "path": str(brought.store.path.resolve()),
        "labels": "the dataset's own",
    }
    if shares.folds > 1:
        names = patient_names(brought.store.cases)
        patients = sorted({names[record.person] for record in taught})
        most_tested = math.ceil(len(patients) / shares.folds)
        own_dataset |= {"patients": patients, "folds": shares.folds, "train": len(patients) - most_tested}
        own_dataset |= {"seed": request.wishes.seed}
    else:
        split = str((request.work / "split.json").resolve())
        own_dataset |= {"split": split, "train": "rest", "validation": "rest", "test": "rest"}
        own_dataset |= {"cap": {"validation": MOST_VALIDATED}}
    others = _ct(request, {brought.name})
    new = bool(spec.structures) and not set(structures) <= set(spec.structures)
    if new and spec.words:
        layers = {**layers, "targets": [*layers["targets"], "text"]}
    retention_names = (
        [name for name in RETENTION if not spec.structures or name in spec.structures] if request.simulated else []
    )
    for entry in others:
        if "path" in entry and entry["test"]:
            labelled = dict.fromkeys(
                name for record in Store.open(Path(entry["path"])).cases for name in record.structures
            )
            retention_names += [name for name in labelled if not spec.structures or name in spec.structures]
    values = {
        "name": request.output.name,
        "about": f"{request.method} on {beginning.base}, by segevolution adapt",
        "base": beginning.base,
        "seeds": [request.seed],
        "data": [own_dataset, *others],
        "methods": [_before(beginning), _trained(request.method, modalities, layers, beginning)],
        "fit": {
            **_fit(request, bool(shares.split.validation), spec.windows, new),
            **_breadth(request, modalities, beginning, new),
            "objective": _objective(others, modalities),
        },
        "prompts": [kind for kind in COMBINATIONS if set(kind.split("+")) <= set(spec.accepts)],
        "structures": list(dict.fromkeys([*structures, *retention_names])),
        "refit": shares.folds > 1,
    }
    return Recipe.model_validate(values), tuple(entry["name"] for entry in others if entry["test"])


def chosen_layers(base: BackboneModule) -> dict[str, list[str]]:
    """Where LoRA enters a base, as the base itself says."""
    return {"targets": list(base.spec.adaptation.targets), "also_train": list(base.spec.adaptation.also_train)}


def replay_in_words(request: AdaptRequest, recipe: Recipe) -> str:
    """What a report says of the CT that was mixed in."""
    replayed = [entry for entry in recipe.data if entry.replay]
    if not replayed:
        if request.method == "mixture":
            return "No CT was replayed: CT goes to the identity expert, which is the base itself."
        return "No CT was replayed, so nothing kept it from being forgotten."
    (entry,) = replayed
    if entry.simulate is not None:
        return (
            f"{entry.replay} simulated CT patients were replayed, so that CT is not forgotten; real CT of your own "
            "keeps it better (--replay STORE)."
        )
    return f"CT of {entry.name} was replayed, so that CT is not forgotten."


def _before(beginning: Beginning) -> dict[str, Any]:
    """The method that the trained one is compared with: the base, or what answers these scans in its place."""
    if beginning.before is None:
        return {"name": UNTRAINED}
    return {"name": UNTRAINED, "kind": beginning.kind, "start": beginning.before, "train": False}


def _trained(
    method: MethodName, modalities: set[Modality | None], layers: Mapping[str, list[str]], beginning: Beginning
) -> dict[str, Any]:
    """The method that learns."""
    if beginning.start is not None:  # the settings are those of the adapter that it begins with
        return {"name": method, "start": beginning.start}
    return {"name": method, **_method(method, modalities, layers)}


def _method(method: MethodName, modalities: set[Modality | None], layers: Mapping[str, list[str]]) -> dict[str, Any]:
    """Kind and settings of a method."""
    if method == "lora":
        return {"settings": dict(layers)}
    known = {modality.value for modality in modalities if modality is not None}
    if method == "prior":
        pool = sorted({Modality.CT.value, Modality.MRI.value, *known})
        settings = {"modalities": pool, "lora_targets": layers["targets"], "also_train": layers["also_train"]}
        return {"kind": "context_prior", "settings": settings}
    if method == "mixture":
        experts = sorted(known - {Modality.CT.value})
        if not experts:
            scan_words = "CT" if known else "scans of no known modality"
            raise AdapterError(
                f"a mixture leaves CT as it is and learns by modality, and these patients have {scan_words}; "
                "use --method lora, or say --modality."
            )
        return {"settings": {"experts": experts, "gate": "modality", "targets": layers["targets"]}}
    if method == "decoder" and "text" in layers["targets"]:  # the decoder alone cannot tell new names apart
        return {"settings": {"parts": ["decoder", "text"]}}
    return {}


def _fit(request: AdaptRequest, validated: bool, windows: str, new: bool) -> dict[str, Any]:
    """Training; names that are `new` to the base are learned at a higher rate, which costs more of what it knew."""
    timed = request.minutes is not None and request.steps is None
    steps = LONG if timed else request.steps or STEPS
    values: dict[str, Any] = {
        "steps": steps,
        "learning_rate": round(_RATES.get(request.method, 1e-3) * (NEW_NAMES if new else 1), 6),
        "warmup": min(20, max(1, steps // 5)),
        "ema_decay": 0.98,
        "precision": "bf16-mixed",
        "replay": 0.5,
        "checkpoint_every": 20,
        "sample": {"views": 2, "structures": 3, "prompts": 2},
    }
    if windows == "focus":  # it will look at structures closely, so it learns to
        values["view"] = {"whole": 0.75, "native": 0.0, "focus": 0.4}
    if request.minutes is not None:
        values["seconds"] = 60 * request.minutes
    if timed:
        values["schedule"] = "constant"  # a cosine would have to know its end
    elif validated and request.minutes is None:
        values |= {"keep_weights": "best", "validate_every": max(1, steps // 4)}
        values["validation"] = {"volumes": 10_000, "prompts": ["text", "point", "box"]}
    return values


def _breadth(
    request: AdaptRequest, modalities: set[Modality | None], beginning: Beginning, new: bool
) -> dict[str, Any]:
    """What keeps training on few patients of one sequence from losing other sequences and clinics.

    Where names are `new`, there is nothing of them to lose, and views as they are teach them more.
    """
    contrasts = {Modality.MRI.value: CONTRASTS} if Modality.MRI in modalities and not new else {}
    usual = START_SHARE if beginning.goes_on else 0.0
    return {
        "intensity": {"recontrast": {"share": contrasts}},
        "start_share": usual if request.start_share is None else request.start_share,
    }


def _objective(others: Sequence[Mapping[str, Any]], modalities: set[Modality | None]) -> dict[str, Any]:
    """Where CT is replayed, and is not what is to be learned, what the base says of it is kept, too."""
    retains_ct = Modality.CT not in modalities and any(entry["replay"] for entry in others)
    return {"resolution": "decoder", "retain": {Modality.CT.value: RETAIN} if retains_ct else {}}


def _ct(request: AdaptRequest, taken: set[str]) -> list[dict[str, Any]]:
    """The datasets beside the laboratory's own: what is replayed, and what tells whether CT was forgotten."""
    replay = request.replay or (NONE if request.method == "mixture" else SIMULATED)  # a mixture's CT cannot change
    datasets = []
    replayed = REPLAYED if replay == SIMULATED else 0
    if replayed + request.simulated:
        simulated = {"patients": replayed + request.simulated, "seed": FIRST_SEED, "modality": Modality.CT}
        entry = {"simulate": simulated, "replay": replayed, "test": request.simulated}
        datasets.append({"name": _free("simulated_ct", taken), **entry})
    stores = {}
    if replay not in (SIMULATED, NONE):
        stores[Path(replay).resolve()] = {"replay": "rest", "test": 0}
    if request.ct is not None:
        place = request.ct.resolve()
        replays_and_tests = place in stores
        stores[place] = {"replay": 0.5, "test": "rest"} if replays_and_tests else {"replay": 0, "test": "rest"}
    for place, roles in stores.items():
        entry = {"path": str(place), "labels": "the store's own", **roles}
        datasets.append({"name": _free(name_of(Store.open(place), place), taken), **entry})
    return datasets


def _free(name: str, taken: set[str]) -> str:
    """The name, or the first of name_2, name_3 ... that is not taken."""
    candidate, number = name, 2
    while candidate in taken:
        candidate, number = f"{name}_{number}", number + 1
    taken.add(candidate)
    return candidate
