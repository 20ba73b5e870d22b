"""Sessions, their structures, and the prompts that these are made by."""

import time
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Path, Query, Request, Response
from starlette.concurrency import run_in_threadpool

from ...errors import PromptError
from ...inference.segmentation import difference
from ..dialogue import MaskChange
from ..faults import BadRequest
from ..parts import Parts, box_parts, lasso_parts, point_parts, scribble_parts
from ..runs import decode_mask, encode_mask
from ..saving import saved_labels
from ..service import Served, Service
from ..uploads import read_label_upload, upload_folder, upload_name
from ..workspace import Facts, SessionWorkspace, Structure
from .bodies import (
    AdapterChoice,
    AnyPrompt,
    BoxPrompt,
    ComparisonBody,
    DrawnMask,
    NewSession,
    NewStructure,
    PointPrompt,
    StructureChange,
    TextPrompt,
)
from .queries import ONLY_KNOWN
from .replies import names_reply, session_reply, structure_reply
from .server_routes import OCTETS, receive_file

router = APIRouter(prefix="/api/sessions", dependencies=[ONLY_KNOWN])
Number = Annotated[int, Path(ge=1, le=255)]


@router.post("", status_code=201, tags=["sessions"])
def begin(body: NewSession, service: Served) -> dict[str, Any]:
    """Begin a session on a volume."""
    handle = service.volumes.find(body.volume)
    workspace = SessionWorkspace(service.volumes, service.answerers, handle, body.adapter)
    try:
        workspace.opened  # noqa: B018 - what cannot be opened is refused now, not at the first prompt
        lease = service.claim(lambda: workspace)
    except BaseException:
        workspace.close()
        raise
    service.in_background(workspace.warm_up, "warm up")
    return session_reply(lease.token, workspace, lease.idle_seconds)


@router.get("/{session}", tags=["sessions"])
def session(session: str, service: Served) -> dict[str, Any]:
    """What is said of a session."""
    with service.using(session, SessionWorkspace) as (lease, workspace):
        return session_reply(session, workspace, lease.idle_seconds)


@router.post("/{session}/heartbeat", tags=["sessions"])
async def heartbeat(session: str, service: Served) -> dict[str, Any]:
    """A sign of life."""
    with service.using(session, SessionWorkspace) as (lease, _):
        return {"idle_seconds": lease.idle_seconds}


@router.delete("/{session}", tags=["sessions"])
def end(session: str, service: Served) -> dict[str, Any]:
    """Free a session."""
    with service.using(session, SessionWorkspace):
        pass
    return {"released": service.leases.release(session)}


@router.get("/{session}/names", tags=["sessions"])
def names(session: str, service: Served) -> dict[str, Any]:
    """Names for completion."""
    with service.using(session, SessionWorkspace) as (_, workspace):
        return names_reply(workspace)


@router.put("/{session}/adapter", tags=["sessions"])
def choose_adapter(session: str, body: AdapterChoice, service: Served) -> dict[str, Any]:
    """Let another adapter answer from now on."""
    with service.using(session, SessionWorkspace) as (lease, workspace):
        begun = time.perf_counter()
        changes = workspace.switch(body.adapter, ask_again=body.ask_again)
        answers = [_answer(structure, change, begun) for structure, change in changes]
        return {"session": session_reply(session, workspace, lease.idle_seconds), "answers": answers}


@router.get("/{session}/labels", tags=["sessions"], response_class=Response)
def labels(
    session: str,
    service: Served,
    form: Annotated[str, Query(alias="format")] = "nii.gz",
    only: Annotated[str | None, Query(pattern=r"^\d{1,3}(,\d{1,3})*$")] = None,
) -> Response:
    """The label map as a file."""
    with service.using(session, SessionWorkspace) as (_, workspace):
        chosen = None if only is None else {int(number) for number in only.split(",")}
        array, key = workspace.label_map(chosen)
        file = saved_labels(array, workspace.handle.volume, key, form)
    name = "".join(letter if letter.isascii() and letter not in '"\\' else "_" for letter in file.name)
    return Response(file.content, media_type=OCTETS, headers={"Content-Disposition": f'attachment; filename="{name}"'})


@router.post("/{session}/structures", status_code=201, tags=["structures"])
def add_structure(session: str, service: Served, body: NewStructure | None = None) -> dict[str, Any]:
    """A new structure; its name asks for nothing."""
    new_structure = body or NewStructure()
    with service.using(session, SessionWorkspace) as (_, workspace):
        return structure_reply(workspace.add_structure(new_structure.name, new_structure.colour))


@router.patch("/{session}/structures/{number}", tags=["structures"])
def change_structure(session: str, number: Number, body: StructureChange, service: Served) -> dict[str, Any]:
    """Another name, colour or visibility."""
    with service.using(session, SessionWorkspace) as (_, workspace):
        structure = workspace.structure(number)
        structure.name = structure.name if body.name is None else body.name
        structure.colour = structure.colour if body.colour is None else body.colour
        structure.visible = structure.visible if body.visible is None else body.visible
        return structure_reply(structure)


@router.delete("/{session}/structures/{number}", tags=["structures"])
def delete_structure(session: str, number: Number, service: Served) -> dict[str, Any]:
    """Forget a structure."""
    with service.using(session, SessionWorkspace) as (_, workspace):
        workspace.delete(number)
    return {"deleted": True}


@router.post("/{session}/structures/{number}/prompts", tags=["prompts"])
def prompt(session: str, number: Number, body: AnyPrompt, service: Served) -> dict[str, Any]:
    """Say more of a structure, and get the new answer."""
    with service.using(session, SessionWorkspace) as (_, workspace):
        structure = workspace.structure(number)
        return _step(workspace, structure, lambda: structure.dialogue.say(parts_of(body, workspace)))


@router.post("/{session}/structures/{number}/undo", tags=["prompts"])
def undo(session: str, number: Number, service: Served) -> dict[str, Any]:
    """Take back the newest addition."""
    with service.using(session, SessionWorkspace) as (_, workspace):
        structure = workspace.structure(number)
        return _step(workspace, structure, structure.dialogue.undo)


@router.post("/{session}/structures/{number}/redo", tags=["prompts"])
def redo(session: str, number: Number, service: Served) -> dict[str, Any]:
    """Bring again what was taken back last."""
    with service.using(session, SessionWorkspace) as (_, workspace):
        structure = workspace.structure(number)
        return _step(workspace, structure, structure.dialogue.redo)


@router.post("/{session}/structures/{number}/reset", tags=["prompts"])
def reset(session: str, number: Number, service: Served) -> dict[str, Any]:
    """Forget all that was said of a structure."""
    with service.using(session, SessionWorkspace) as (_, workspace):
        structure = workspace.structure(number)
        return _step(workspace, structure, structure.dialogue.reset)


@router.post("/{session}/structures/{number}/compare", tags=["prompts"])
def compare(session: str, number: Number, body: ComparisonBody, service: Served) -> dict[str, Any]:
    """Another adapter's answer; nothing of the session changes."""
    with service.using(session, SessionWorkspace) as (_, workspace):
        begun = time.perf_counter()
        structure = workspace.structure(number)
        answer, facts = workspace.compared(structure, body.adapter)
        return _answer(structure, MaskChange(answer.mask, answer.changed), begun, facts)


@router.get("/{session}/structures/{number}/mask", tags=["structures"])
def mask(session: str, number: Number, service: Served) -> dict[str, Any]:
    """The whole mask."""
    with service.using(session, SessionWorkspace) as (_, workspace):
        begun = time.perf_counter()
        structure = workspace.structure(number)
        shown_mask = structure.dialogue.mask
        return _answer(structure, MaskChange(shown_mask, difference(shown_mask, None)), begun)


@router.put("/{session}/structures/{number}/mask", tags=["structures"])
async def begin_with_mask(
    session: str,
    number: Number,
    request: Request,
    service: Served,
    name: str,
    label: Annotated[int | None, Query(ge=1)] = None,
) -> dict[str, Any]:
    """Begin with a segmentation that was made elsewhere, sent as the request's body."""
    upload_name(name)
    with upload_folder() as folder:
        path = folder / name
        await receive_file(request, path)
        return await run_in_threadpool(_taken_up, service, session, number, path, label)


def _taken_up(service: Service, session: str, number: int, path: Any, label: int | None) -> dict[str, Any]:
    with service.using(session, SessionWorkspace) as (_, workspace):
        structure = workspace.structure(number)
        volume = workspace.handle.volume
        label_upload = read_label_upload(path, service.settings, volume)
        if not volume.grid.close_to(label_upload.grid, tolerance=1e-2):
            raise PromptError(f"{path.name} lies on another grid than the volume; resample it first.")
        chosen = label_upload.array > 0 if label is None else label_upload.array == label
        return _step(workspace, structure, lambda: structure.dialogue.begin_with(np.asarray(chosen)))


def parts_of(body: AnyPrompt, workspace: SessionWorkspace) -> Parts:
    """What a client's prompt says, in voxels; raises PromptError."""
    grid = workspace.handle.volume.grid
    if isinstance(body, TextPrompt):
        return {"text": body.text}
    if isinstance(body, PointPrompt):
        return point_parts(grid, body.position, positive=body.positive, mm=body.mm)
    if isinstance(body, BoxPrompt):
        return box_parts(grid, body.corners, workspace.accepts, positive=body.positive, mm=body.mm)
    places = body.path if body.kind == "scribble" else body.outline
    if (places is None) == (body.mask is None):
        raise BadRequest(f"a {body.kind} needs either positions or a mask.")
    make = scribble_parts if body.kind == "scribble" else lasso_parts
    if body.mask is not None:
        return make(grid, _decoded(body.mask, grid.shape), positive=body.positive)
    return make(grid, places or [], positive=body.positive, mm=body.mm)


def _decoded(drawn: DrawnMask, shape: tuple[int, int, int]) -> Any:
    return decode_mask(drawn.box, drawn.runs, shape)


def _step(workspace: SessionWorkspace, structure: Structure, step: Any) -> dict[str, Any]:
    begun = time.perf_counter()
    change: MaskChange = step()
    workspace.note(structure, change)
    return _answer(structure, change, begun)


def _answer(structure: Structure, change: MaskChange, begun: float, facts: Facts | None = None) -> dict[str, Any]:
    return {
        "structure": structure_reply(structure, facts),
        "mask": encode_mask(change.mask, change.block),
        "seconds": round(time.perf_counter() - begun, 3),
    }
