"""What a study is: a YAML file that states only its differences from the defaults below.

    name: demo
    data:
      - {name: ct, simulate: {patients: 6, modality: CT}, replay: 3, test: 3}
      - {name: mri, simulate: {patients: 6, modality: MRI, sequence: t2}, train: 3, test: 3}
    methods:
      - {name: base}
      - {name: lora, settings: {rank: 8}, fit: {seconds: 120}}

`reading.py` reads it, with changes from a command line.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from ..adapters import METHODS
from ..errors import AdapterError, RecipeError, VocabularyError
from ..imaging.prompts import COMBINATIONS, Combination
from ..models.backbone import Windows
from ..training.settings import FitSettings
from ..vocabulary import Modality, canonical, closest

Role = int | float | Literal["rest"] | list[str]
RoleName = Literal["train", "replay", "validation", "test"]

UNTRAINED, SCRATCH = "base", "scratch"
LOT, ORIGINAL = "lot", "original"


class Part(BaseModel):
    """Base of all parts of a recipe: unknown keys are refused by name, with the nearest known one."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _known_keys(cls, values: Any) -> Any:
        if isinstance(values, Mapping):
            for key in values:
                if key not in cls.model_fields:
                    near = closest(str(key), cls.model_fields)
                    hint = f'did you mean "{near}"?' if near else f"known are {', '.join(cls.model_fields)}."
                    raise ValueError(f'"{key}" is no key here; {hint}')
        return values


class Simulation(Part):
    """Patients made by `data.synthesis`: exact labels, and nothing to download.

    With `labels`, a folder of label maps below the data root, images are made from these instead of from our own
    anatomy; `names` says which value is which structure ("freesurfer", "json" for a file beside each map, or here).
    """

    patients: int = Field(gt=0)
    seed: int = Field(default=0, ge=0)  # patient i is made from seed + i
    region: Literal["torso", "head"] = "torso"
    modality: Modality = Modality.CT
    sequence: str | None = None
    labels: str | None = None
    names: Literal["freesurfer", "json"] | dict[int, str] = "json"
    spacing: tuple[float, float, float] | None = None  # millimetres; None: the region's, or the map's own

    @model_validator(mode="before")
    @classmethod
    def _parse_modality(cls, values: Any) -> Any:
        return _with_modality(values)


class Dataset(Part):
    """One dataset and what its patients are for; a patient has one role only.

    A role is a number of patients, a fraction of them (0.5), their names, or "rest". `train`, `replay` (mixed
    into the training of others, so that they are not forgotten) and `validation` are never tested on. With
    `folds`, every patient is tested once, and each fold trains on `train` of the patients outside it.

    `split` says who may have which role: "lot", anyone; "original", each role takes from the part where the dataset's
    authors put a patient (`replay` from training; see `data.splits.split_patients` for parts that they left out); or a
    file that `data split` wrote. `cap` keeps at most so many patients of a role.
    """

    name: str = Field(min_length=1)
    simulate: Simulation | None = None
    source: str | None = None  # a registered layout, such as "msd"; read from `path`
    path: str | None = None  # a source's folder, or a prepared store's; relative to the data root
    modality: Modality | None = None  # where the source does not say
    labels: str | None = None  # who made the labels, such as "manual": printed with every figure
    patients: list[str] | None = None  # only these
    train: Role = 0
    replay: Role = 0
    validation: Role = 0
    test: Role = "rest"
    folds: int = Field(default=1, ge=1)
    split: str = LOT
    cap: dict[RoleName, Annotated[int, Field(ge=0)]] = {}
    seed: int = 0  # of the split

    @model_validator(mode="before")
    @classmethod
    def _parse_modality(cls, values: Any) -> Any:
        return _with_modality(values)

    @model_validator(mode="after")
    def _one_origin(self) -> "Dataset":
        if (self.simulate is None) == (self.path is None):
            raise ValueError("give either simulate, or the path of a source or of a store")
        if self.folds > 1 and self.test != "rest":
            raise ValueError("with folds every patient is tested once; leave test out")
        if self.folds > 1 and (self.split != LOT or "test" in self.cap):
            raise ValueError("with folds every patient is tested once; leave split out, and test out of cap")
        if self.split not in (LOT, ORIGINAL) and not self.split.endswith(".json"):
            raise ValueError(f'split is "{self.split}"; give lot, original, or a .json file that data split wrote')
        sharing = ("train", "replay", "validation", "test") if self.split == LOT else ("train", "replay")
        rests = [role for role in sharing if getattr(self, role) == "rest"]
        if len(rests) > 1:
            raise ValueError(f"only one role can take the rest, these do: {', '.join(rests)}")
        for role in ("train", "replay", "validation", "test"):
            value = getattr(self, role)
            if isinstance(value, int | float) and (value < 0 or (isinstance(value, float) and value > 1)):
                raise ValueError(f"{role} is {value}; give a whole number, a fraction up to 1.0, names, or rest")
        return self

    @property
    def truth(self) -> str:
        """Where the labels come from, in words."""
        return self.labels or ("exact (simulated)" if self.simulate else "origin not stated")


@dataclass(frozen=True)
class Fit:
    """How a method is trained.

    Attributes:
        settings: see FitSettings; its seed is set by the run.
        replay: weight of the patients with the role `replay` beside those with the role `train`; 0 = not mixed in.
    """

    settings: FitSettings
    replay: float


class Method(Part):
    """One row of the tables.

    `kind` is "base" (not trained), "scratch" (the same network from its initialisation), or the name of a
    registered adapter such as "lora" or "full", whose own settings `settings` holds; it is `name` unless said.
    `fit` states what differs from the study's `fit`.

    With `start`, the folder of a ready adapter of that kind on the same base, training goes on from its weights, and
    `settings` states what differs from its own. `train: false` measures it as it is, once, whatever seeds and shots.
    """

    name: str = Field(min_length=1)
    kind: str = ""
    settings: dict[str, Any] = {}
    fit: dict[str, Any] = {}
    start: str | None = None
    train: bool = True

    @model_validator(mode="after")
    def _start_fits(self) -> "Method":
        if self.start is not None and self.trained_as in (UNTRAINED, SCRATCH):
            raise ValueError(f"{self.trained_as} starts from no adapter; say the kind of the adapter, such as lora")
        if not self.train and (self.start is None or self.settings or self.fit):
            raise ValueError("train: false measures a ready adapter as it is; give start, and neither settings nor fit")
        return self

    @property
    def trained_as(self) -> str:
        """The kind, which is the name unless said."""
        return self.kind or self.name


class Recipe(Part):
    """A whole study."""

    name: str = Field(min_length=1)
    about: str = ""
    base: str = "segvol-mini"
    seeds: Annotated[list[int], Field(min_length=1)] = [0]
    shots: list[Annotated[int, Field(gt=0)] | Literal["all"]] = []  # patients a dataset and modality to train on
    sampler: Literal["all", "round_robin"] = "all"  # which training cases; round_robin: one a dataset in turn
    count: int | None = Field(default=None, gt=0)  # of training cases, for round_robin
    data: Annotated[list[Dataset], Field(min_length=1)]
    methods: Annotated[list[Method], Field(min_length=1)] = [Method(name=UNTRAINED)]
    fit: dict[str, Any] = {}  # fields of training's FitSettings, and replay: the weight of replayed patients
    prompts: Annotated[list[Combination], Field(min_length=1)] = list(COMBINATIONS)
    contexts: Annotated[list[Literal["known", "withheld"]], Field(min_length=1)] = ["known"]
    structures: list[str] = []  # empty: all that a case carries and the base was trained on
    windows: Windows | None = None  # None: what the base prefers
    prompt_seed: int = 0
    points: int = Field(default=5, gt=0)  # positive points of a point prompt
    box_jitter: float = Field(default=0, ge=0)  # voxels; 0 = tight boxes
    surface_tolerance_mm: float = Field(default=2.0, gt=0)
    surface: bool = True  # whether NSD and HD95 are measured
    pictures: Combination | None = None  # the prompt whose masks are drawn; None: the last of `prompts`
    reference: str = UNTRAINED  # the method that the others are compared with

    @model_validator(mode="before")
    @classmethod
    def _off_is_a_word(cls, values: Any) -> Any:
        """YAML 1.1 reads a bare `off` as false."""
        if isinstance(values, Mapping) and values.get("windows") is False:
            return {**values, "windows": "off"}
        return values

    @model_validator(mode="after")
    def _names_fit(self) -> "Recipe":
        for what, names in (("data", [d.name for d in self.data]), ("methods", [m.name for m in self.methods])):
            twice = {name for name in names if names.count(name) > 1}
            if twice:
                raise ValueError(f"{what} holds {', '.join(sorted(twice))} twice; each needs its own name")
        if self.reference not in [method.name for method in self.methods]:
            raise ValueError(f'reference is "{self.reference}", which is not among the methods')
        if self.pictures is not None and self.pictures not in self.prompts:
            raise ValueError(f'pictures are of "{self.pictures}", which is not among the prompts')
        trained = [method.name for method in self.methods if method.trained_as != UNTRAINED and method.train]
        if trained and not any(dataset.train for dataset in self.data):
            raise ValueError(f"no patient has the role train, but {', '.join(trained)} would need some")
        if (self.sampler == "round_robin") != (self.count is not None):
            raise ValueError("sampler: round_robin and count, the number of training cases, go together")
        if self.shots and self.count is not None:
            raise ValueError("shots and count both choose the training cases; give either")
        if len(set(self.shots)) < len(self.shots):
            raise ValueError(f"shots holds a number twice: {', '.join(map(str, self.shots))}")
        if self.shots and self.reference in trained:
            raise ValueError(
                f"with shots there are several {self.reference}; compare with a method that is not trained"
            )
        for method in self.methods:
            if method.name in trained:
                self.fit_of(method)
            if method.trained_as not in (UNTRAINED, SCRATCH):
                _checked_adapter(method)
        return self

    def fit_of(self, method: Method) -> Fit:
        """The training of a method: the study's `fit` with the method's own changes.

        Raises:
            ValueError: one sentence that names the key.
        """
        values = merged(self.fit, method.fit)
        replay = values.pop("replay", 1.0)
        if isinstance(replay, bool) or not isinstance(replay, int | float) or replay < 0:
            raise ValueError(f"fit.replay of {method.name} is {replay}; give a weight of 0 or more")
        if "seed" in values:
            raise ValueError(f"fit of {method.name} holds a seed; the study's seeds say with which seeds to train")
        try:
            settings = FitSettings(**values)
        except ValidationError as error:
            raise ValueError(f"fit of {method.name}: {fit_fault(error)}") from error
        if settings.steps < 1:
            raise ValueError(f"fit.steps of {method.name} is {settings.steps}; give at least 1")
        return Fit(settings, float(replay))

    @property
    def drawn(self) -> Combination:
        """The prompt whose masks are kept for pictures."""
        return self.pictures or self.prompts[-1]


def _with_modality(values: Any) -> Any:
    if isinstance(values, Mapping) and isinstance(values.get("modality"), str):
        try:
            return {**values, "modality": Modality.parse(values["modality"])}
        except VocabularyError as error:
            raise ValueError(str(error)) from error
    return values


def merged(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """`changes` over `base`, parts within parts."""
    values = dict(base)
    for key, value in changes.items():
        inner = values.get(key)
        values[key] = merged(inner, value) if isinstance(inner, Mapping) and isinstance(value, Mapping) else value
    return values


def fit_fault(error: ValidationError) -> str:
    """What is wrong with a `fit`, in one clause that names the key, and the nearest known one."""
    first = error.errors(include_url=False)[0]
    *parents, last = first["loc"]
    place = ".".join(str(step) for step in first["loc"])
    if first["type"] != "unexpected_keyword_argument":
        return f"{place}: {str(first['msg']).removeprefix('Value error, ')}"
    known: Any = FitSettings()
    for step in parents:
        known = getattr(known, str(step))
    names = [*vars(known), *(() if parents else ("replay",))]
    near = closest(str(last), names)
    return f'"{place}" is no key here; ' + (f'did you mean "{near}"?' if near else f"known are {', '.join(names)}")


def _checked_adapter(method: Method) -> None:
    """A method of adaptation with settings that it takes; ValueError otherwise.

    Settings that only change a ready adapter's are judged with these, when it is read (`starting.py`).
    """
    if method.trained_as not in METHODS:
        known = [UNTRAINED, SCRATCH, *METHODS]
        near = closest(method.trained_as, known)
        hint = f'did you mean "{near}"?' if near else f"known are {', '.join(known)}"
        raise ValueError(f'"{method.trained_as}" is no kind of method; {hint}')
    if method.start is not None:
        return
    try:
        METHODS[method.trained_as].config_type.from_dict(method.settings)
    except (AdapterError, TypeError) as error:
        raise ValueError(f"settings of {method.name}: {error}") from error


def known_structures(recipe: Recipe, trained_on: Sequence[str], labelled: Collection[str] = ()) -> tuple[str, ...]:
    """The structures a study measures; empty = all that a case carries.

    A structure that the base does not know can be named where a dataset labels it: methods that are trained learn it,
    and the base is asked for it by points and boxes only.

    Raises:
        RecipeError: the recipe names one that neither the base was trained on nor any dataset labels.
    """
    wanted = tuple(canonical(name) for name in recipe.structures)
    for name in wanted:
        if trained_on and name not in trained_on and name not in labelled:
            near = closest(name, {*trained_on, *labelled})
            hint = f'did you mean "{near}"?' if near else "leave it out."
            raise RecipeError(f'{recipe.name}: structures holds "{name}", which {recipe.base} does not know; {hint}')
    return wanted or tuple(trained_on)
