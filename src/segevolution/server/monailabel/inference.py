"""One question of MONAI Label's client: a volume, a model, and what is wanted of it."""

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from ...errors import PromptError
from ...imaging.formats import write_mask
from ...imaging.legend import legend
from ...imaging.prompts import Prompt
from ...inference.labelmap import label_map
from ...inference.session import Session
from ...vocabulary import canonical
from ..answerers import AnswererChoice
from ..faults import NotFound
from ..network_thread import asked
from ..parts import voxel_of
from ..service import Service
from ..volumes import Handle
from .replies import ALL, CLICKS, structures_of

Number = Annotated[float, Field(allow_inf_nan=False)]
Position = tuple[Number, Number, Number]
Extension = Literal[".nrrd", ".nii.gz", ".nii", ".seg.nrrd"]


class InferParams(BaseModel):
    """What the client says beside the image; it says more, which is not looked at.

    Attributes:
        label: the structure's name, or several.
        structures: the same as a person types it into the options: names with commas, or "all".
        foreground, background: points (i, j, k) on the structure and off it.
        result_extension: of the label map's file.
    """

    model_config = ConfigDict(extra="ignore")

    label: str | list[str] | None = None
    structures: str | None = None
    foreground: list[Position] = []
    background: list[Position] = []
    result_extension: Extension = ".nrrd"


@dataclass(eq=False)
class UploadedImage:
    """A session of this protocol: an image, and nothing else."""

    service: Service
    handle: Handle | None

    def close(self) -> None:
        """Let go of the image."""
        handle, self.handle = self.handle, None
        if handle is not None:
            self.service.volumes.drop(handle)


@dataclass(frozen=True)
class Labelled:
    """A label map as the bytes of a file, and what its values mean."""

    content: bytes
    label_names: dict[str, int]


def inferred(service: Service, handle: Handle, model: str, params: InferParams) -> Labelled:
    """Answer one question.

    Raises:
        NotFound: there is no such model.
        SegevolutionError: as Session does.
    """
    by_clicks = model.endswith(CLICKS)
    answerer = service.answerers.find(model.removesuffix(CLICKS), None)
    session = Session.on(service.volumes.open(handle, answerer), history=0)
    if by_clicks:
        names, answers = _clicked(session, params)
    else:
        names = _wanted(service, answerer, params)
        prompts = [Prompt(handle.volume.grid, name) for name in names]
        answers = asked(lambda: session.segment(prompts, keep_logits=len(prompts) > 1))
    labels = label_map(answers, session.frame)
    with TemporaryDirectory(prefix="segevolution-saving-") as folder:
        path = Path(folder) / f"labels{params.result_extension}"
        write_mask(labels, handle.volume, path, labels=legend(names))
        return Labelled(path.read_bytes(), {name: value for value, name in enumerate(names, 1)})


def _clicked(session: Session, params: InferParams) -> tuple[list[str], list[Any]]:
    name = params.label if isinstance(params.label, str) and params.label else "structure"
    if not params.foreground:
        raise PromptError("put at least one point on the structure; points off it alone say nothing.")
    on, off = ([voxel_of(place) for place in places] for places in (params.foreground, params.background))
    return [name], [asked(lambda: session.segment(points=on, negative_points=off))]


def _wanted(service: Service, answerer: AnswererChoice, params: InferParams) -> list[str]:
    structures = structures_of(service, answerer)
    if not structures:
        raise NotFound(f'"{answerer.id}" takes no text; choose "{answerer.id}{CLICKS}" and set points.')
    requested = params.label or params.structures or ALL
    names = (
        requested if isinstance(requested, list) else [part.strip() for part in requested.split(",") if part.strip()]
    )
    if names == [ALL] or not names:
        return list(structures)
    spellings: dict[str, str] = {}  # each structure once, as it was named first
    for name in names:
        spellings.setdefault(canonical(name), name)
    return list(spellings.values())
