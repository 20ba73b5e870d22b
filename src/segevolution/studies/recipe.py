"""The recipe of a study: a YAML file that states only its differences from the defaults below.

    name: demo
    data:
      - {name: ct, simulate: {patients: 6, modality: CT}, replay: 3, test: 3}
      - {name: mri, simulate: {patients: 6, modality: MRI, sequence: t2}, train: 3, test: 3}
    methods:
      - {name: base}
      - {name: lora, settings: {rank: 8}, fit: {seconds: 120}}

`reading.py` reads it, with changes from a command line.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, ValidationError, model_validator

from ..adapters import METHODS
from ..appearance import find
from ..errors import AdapterError, PromptError, SegevolutionError
from ..imaging.prompts import COMBINATIONS, kinds_in
from ..imaging.simulated_prompts import SIMULATED_KINDS, Unit
from ..models.backbone import Windows
from ..ranges import Count, Factor, Seed, Several, Strength
from ..recipes.dataset import Dataset, with_modality
from ..recipes.parts import FitChanges, RecipePart, SafeName, check_distinct, fit_fault, merged
from ..recipes.stores import check_places
from ..training.settings import FitSettings
from ..vocabulary import Modality, canonical, did_you_mean
from .cohorts import Cohort, check_cohorts
from .jobs import SCRATCH
from .primary import Primary, RetentionPlan, check_primary
from .rivals import RIVALS
from .varied import BoxErrors, all_box_errors

UNTRAINED = "base"

Points = Annotated[Several, Field(le=1000)]
Clicks = Annotated[Count, Field(le=1000)]


def _simulated(prompt: str) -> str:
    try:
        kinds = kinds_in(prompt)
    except PromptError as error:
        raise ValueError(str(error)) from error
    if not kinds <= SIMULATED_KINDS:
        raise ValueError(f'"{prompt}" cannot be simulated from a label; {", ".join(sorted(SIMULATED_KINDS))} can')
    return prompt


SimulatedPrompt = Annotated[str, AfterValidator(_simulated)]
"""Kinds of prompt that a label can stand in for, joined as in "text+box"."""


@dataclass(frozen=True)
class MethodFit:
    """How a method is trained.

    Attributes:
        settings: see FitSettings; its seed is set by the run.
        replay: weight of the patients with the role `replay` beside those with the role `train`; 0 = not mixed in.
    """

    settings: FitSettings
    replay: float


class Method(RecipePart):
    """One row of the tables.

    `kind` is "base" (not trained), "scratch" (the same network from its initialisation), the name of a
    registered adapter such as "lora" or "full", whose own settings `settings` holds, or of a rival that trains no
    adapter, such as "ellipsoid" or "unet"; it is `name` unless said. With `cohorts` it is trained on these of the
    study's only. `fit` states what differs from the study's `fit`. `base` is the network that is adapted, where it is
    not the study's; with a base of its own, a method whose name is no kind is not trained, as in
    {name: sam, base: sam-med3d}.

    With `start`, the folder of a ready adapter of that kind on the same base or the name of one that ships, training
    goes on from its weights, and `settings` states what differs from its own. `train: false` measures it as it is,
    once, whatever seeds and shots.

    With `modalities`, the adapter is on for scans of these alone; the base as it is answers all others.
    """

    name: SafeName
    kind: str = ""
    base: str | None = None
    settings: dict[str, Any] = Field(default={})
    fit: FitChanges = Field(default={})
    start: str | None = None
    train: bool = True
    cohorts: list[str] | None = None  # None: all of the study's
    modalities: list[Modality] | None = Field(default=None, min_length=1)  # None: on for every scan

    @model_validator(mode="before")
    @classmethod
    def _parse_modalities(cls, values: Any) -> Any:
        if not isinstance(values, Mapping) or not isinstance(values.get("modalities"), list):
            return values
        return {**values, "modalities": [with_modality({"modality": one})["modality"] for one in values["modalities"]]}

    @model_validator(mode="after")
    def _start_fits(self) -> "Method":
        if self.start is not None and self.trained_as in (UNTRAINED, SCRATCH, *RIVALS):
            raise ValueError(f"{self.trained_as} starts from no adapter; say the kind of the adapter, such as lora")
        if not self.train and (self.start is None or self.settings or self.fit):
            raise ValueError("train: false measures a ready adapter as it is; give start, and neither settings nor fit")
        if self.modalities is not None and self.trained_as in (UNTRAINED, SCRATCH, *RIVALS):
            raise ValueError(f"modalities say where an adapter is on, and {self.trained_as} is none; leave them out")
        return self

    @property
    def trained_as(self) -> str:
        """The kind, which is the name unless said."""
        if not self.kind and self.base is not None and self.name not in (SCRATCH, *METHODS, *RIVALS):
            return UNTRAINED
        return self.kind or self.name

    @property
    def is_trained(self) -> bool:
        """Whether it learns from the training cases."""
        rival = RIVALS.get(self.trained_as)
        return self.train and self.trained_as != UNTRAINED and (rival is None or rival.trained)


class RequestedShift(RecipePart):
    """A shift of appearance, at each of some strengths; None takes the shift's own ladder, mild to severe."""

    name: str
    strengths: list[float] | None = Field(default=None, min_length=1)

    @model_validator(mode="after")
    def _can_be(self) -> "RequestedShift":
        try:
            kind = find(self.name)
            for strength in self.strengths or ():
                kind.check(strength)
        except SegevolutionError as error:
            raise ValueError(str(error)) from error
        return self

    @property
    def all_strengths(self) -> tuple[float, ...]:
        """In the shift's unit."""
        return tuple(self.strengths or find(self.name).ladder)


class Recipe(RecipePart):
    """A whole study."""

    name: SafeName
    about: str = ""
    base: str = "segvol-mini"
    seeds: list[Seed] = Field(default=[0], min_length=1)
    shots: list[Several | Literal["all"]] = Field(default=[])  # patients to train on
    sampler: Literal["all", "round_robin"] = "all"  # which training cases; round_robin: one a dataset in turn
    count: Several | None = None  # of training cases, for round_robin
    refit: bool = False  # with folds: train once more, on all patients of the folds, and test that on the other data
    data: Annotated[list[Dataset], Field(min_length=1)]
    cohorts: list[Cohort] = Field(default=[])  # named training sets; each method is trained on each
    methods: list[Method] = Field(default=[Method(name=UNTRAINED)], min_length=1)
    fit: FitChanges = Field(default={})  # fields of FitSettings, and replay: the weight of replayed patients
    prompts: list[SimulatedPrompt] = Field(default=list(COMBINATIONS), min_length=1)
    contexts: list[Literal["known", "withheld"]] = Field(default=["known"], min_length=1)
    structures: list[str] = Field(default=[])  # empty: all that a case carries and the base was trained on
    windows: Windows | Annotated[list[Windows], Field(min_length=1)] | None = None  # None: what the base prefers
    prompt_seed: Seed = 0
    prompt_seeds: list[Seed] = Field(default=[])  # in place of prompt_seed; all is asked with each
    points: Points | Annotated[list[Points], Field(min_length=1)] = 5  # positive points of a point prompt
    box_jitter: Strength | Annotated[list[Strength], Field(min_length=1)] = (
        0.0  # how far faces may move; 0 = tight boxes
    )
    box_jitter_unit: Unit = "voxel"
    box_errors: list[BoxErrors] = Field(default=[])  # further errors of boxes, each with its unit
    clicks: Clicks = 0  # that correct each answer, one after another
    centre: Literal["prompt", "truth"] = "prompt"  # of the window of a network that looks at one place
    shifts: list[RequestedShift] = Field(default=[])  # beside the unchanged scans, which are always measured
    surface_tolerance_mm: Factor | None = None  # of NSD; None: each organ's own
    surface: bool = True  # whether NSD and HD95 are measured
    pictures: str | None = None  # the prompt whose masks are drawn; None: the last of `prompts`
    reference: str = UNTRAINED  # the method that the others are compared with
    primary: Primary | None = None  # the question that is asked first; all others are corrected for their number
    retention: RetentionPlan | None = None  # what must not be forgotten

    @model_validator(mode="before")
    @classmethod
    def _off_is_a_word(cls, values: Any) -> Any:
        """YAML 1.1 reads a bare `off` as false."""
        if not isinstance(values, Mapping):
            return values
        windows = values.get("windows")
        if windows is False:
            return {**values, "windows": "off"}
        if isinstance(windows, list):
            return {**values, "windows": ["off" if one is False else one for one in windows]}
        return values

    @model_validator(mode="after")
    def _names_fit(self) -> "Recipe":
        for field_name, names in (("data", [d.name for d in self.data]), ("methods", [m.name for m in self.methods])):
            twice = {name for name in names if names.count(name) > 1}
            if twice:
                raise ValueError(f"{field_name} holds {', '.join(sorted(twice))} twice; each needs its own name")
        check_places([dataset.name for dataset in self.data])
        check_distinct(
            {
                "box_errors": all_box_errors(self.box_jitter, self.box_jitter_unit, self.box_errors),
                "shifts": [wish.name for wish in self.shifts],
            }
        )
        check_distinct({"prompts": self.prompts}, kinds_in)
        check_distinct({"structures": self.structures}, canonical)
        if self.prompt_seeds and "prompt_seed" in self.model_fields_set:
            raise ValueError("prompt_seed and prompt_seeds both seed the prompts; give either")
        if self.reference not in [method.name for method in self.methods]:
            raise ValueError(f'reference is "{self.reference}", which is not among the methods')
        if self.pictures is not None and self.pictures not in self.prompts:
            raise ValueError(f'pictures are of "{self.pictures}", which is not among the prompts')
        trained = [method.name for method in self.methods if method.is_trained]
        check_cohorts(self.cohorts, self.methods, self.data, shots=bool(self.shots), count=self.count)
        if trained and not any(dataset.train for dataset in self.data):
            raise ValueError(f"no patient has the role train, but {', '.join(trained)} would need some")
        if (self.sampler == "round_robin") != (self.count is not None):
            raise ValueError("sampler: round_robin and count, the number of training cases, go together")
        if self.refit and not any(dataset.folds > 1 for dataset in self.data):
            raise ValueError("refit trains once more on all patients of the folds, and no dataset has folds")
        if self.shots and self.count is not None:
            raise ValueError("shots and count both choose the training cases; give either")
        if (self.shots or self.cohorts) and self.reference in trained:
            what = "shots" if self.shots else "cohorts"
            raise ValueError(
                f"with {what} there are several {self.reference}; compare with a method that is not trained"
            )
        self._decided_before()
        for method in self.methods:
            if method.name in trained:
                self.fit_of(method)
            if method.trained_as in RIVALS:
                _check_rival(method)
            elif method.trained_as not in (UNTRAINED, SCRATCH):
                _checked_adapter(method)
        return self

    def _decided_before(self) -> None:
        """Raise ValueError where the primary question or what is to be kept asks for what is not measured."""
        tested = [dataset.name for dataset in self.data if dataset.test != 0]
        for name in self.retention.data if self.retention else ():
            if name not in tested:
                raise ValueError(f'retention.data holds "{name}", which is no dataset that is tested')
        if self.primary is not None:
            check_primary(
                self.primary,
                reference=self.reference,
                methods=[method.name for method in self.methods],
                data=tested,
                prompts=self.prompts,
                contexts=self.contexts,
                shots=self.shots,
                strengths={wish.name: wish.all_strengths for wish in self.shifts},
                clicks=self.clicks,
                surface=self.surface,
            )

    def fit_of(self, method: Method) -> MethodFit:
        """The training of a method: the study's `fit` with the method's own changes.

        Raises:
            ValueError: one sentence that names the key.
        """
        values = merged(self.fit, method.fit)
        replay = values.pop("replay", 1.0)
        if isinstance(replay, bool) or not isinstance(replay, int | float) or not 0 <= replay <= 1e6:
            raise ValueError(f"fit.replay of {method.name} is {replay}; give a weight of 0 or more")
        if "seed" in values:
            raise ValueError(f"fit of {method.name} holds a seed; the study's seeds say with which seeds to train")
        try:
            settings = FitSettings(**values)
        except ValidationError as error:
            raise ValueError(f"fit of {method.name}: {fit_fault(error)}") from error
        if settings.steps < 1:
            raise ValueError(f"fit.steps of {method.name} is {settings.steps}; give at least 1")
        return MethodFit(settings, float(replay))

    def base_of(self, method: Method) -> str:
        """The name of the network that a method adapts, stands on, or measures as it is; empty where there is none."""
        rival = RIVALS.get(method.trained_as)
        return method.base or self.base if rival is None or rival.on_base else ""

    @property
    def bases(self) -> list[str]:
        """The names of all networks of the study, each once."""
        return list(dict.fromkeys(name for method in self.methods if (name := self.base_of(method))))


def _check_rival(method: Method) -> None:
    """A rival with settings that it takes; ValueError otherwise."""
    if method.base is not None and not RIVALS[method.trained_as].on_base:
        raise ValueError(f"{method.name} adapts no network, so it has no base; leave base out")
    try:
        RIVALS[method.trained_as].check(method.settings)
    except ValueError as error:
        raise ValueError(f"settings of {method.name}: {error}") from error


def _checked_adapter(method: Method) -> None:
    """A method of adaptation with settings that it takes; ValueError otherwise.

    Settings that only change a ready adapter's are judged with these, when it is read (`warm_start.py`).
    """
    if method.trained_as not in METHODS:
        method_kinds = [UNTRAINED, SCRATCH, *METHODS, *RIVALS]
        hint = did_you_mean(method.trained_as, method_kinds, f"known are {', '.join(method_kinds)}")
        raise ValueError(f'"{method.trained_as}" is no kind of method; {hint}')
    if method.start is not None:
        return
    try:
        METHODS[method.trained_as].config_type.from_dict(method.settings)
    except (AdapterError, TypeError) as error:
        raise ValueError(f"settings of {method.name}: {error}") from error
