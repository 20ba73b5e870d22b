"""The 17 routes of nnInteractive's protocol, version 2."""

import json
from collections.abc import Callable
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Header, Request, Response
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool

from ... import __version__
from ...documents import json_from_text
from ...errors import FormatError
from ...imaging.prompt_conversion import CONVERSIONS
from ...imaging.prompts import PromptKind
from ..faults import BadRequest
from ..service import Served, Service
from .interactive_session import InteractiveSession, Patch
from .packed_array import pack_array, unpack_array

META = "X-Meta"
OCTETS = "application/octet-stream"
PROTOCOL_VERSION = "2.6.0"  # of the client whose protocol this is

router = APIRouter(tags=["nnInteractive"])
Token = Annotated[str | None, Header(alias="X-Lease-Token")]
Number = Annotated[float, Field(allow_inf_nan=False, ge=-1e9, le=1e9)]
Whole = Annotated[int, Field(ge=-(10**9), le=10**9)]
Pair = tuple[Whole, Whole]
Ranges = tuple[Pair, Pair, Pair]
Reply = TypeVar("Reply")
Schema = TypeVar("Schema", bound=BaseModel)


class TargetBuffer(BaseModel):
    """The client's buffer (k, j, i)."""

    shape: tuple[Whole, Whole, Whole]
    dtype: str = "uint8"


class Autozoom(BaseModel):
    """Whether to look further where an answer reaches a border; our networks decide that themselves."""

    do_autozoom: bool


class Flags(BaseModel):
    """What every prompt says beside where it is."""

    include_interaction: bool = True
    run_prediction: bool = True
    override_capability_checks: bool = False


class PointInteraction(Flags):
    """A point (k, j, i), maybe not whole."""

    coordinates: tuple[Number, Number, Number]


class BoxInteraction(Flags):
    """A box of half-open ranges (k, j, i)."""

    bbox_coords: tuple[tuple[Number, Number], tuple[Number, Number], tuple[Number, Number]]


class DrawnMeta(Flags):
    """What comes beside a drawn mask."""

    interaction_bbox: Ranges | None = None


class InitialMeta(BaseModel):
    """What comes beside a segmentation to begin with."""

    run_prediction: bool = False


class ImageProperties(BaseModel):
    """What a client says of an image."""

    spacing: list[Any] | None = None


class ImageMeta(BaseModel):
    """What comes beside an image."""

    image_properties: ImageProperties | None = None


@router.get("/healthz")
async def healthz() -> dict[str, Any]:
    """Whether the server is there."""
    return {"ok": True}


@router.post("/claim")
async def claim(service: Served) -> dict[str, Any]:
    """A new session."""
    settings = service.settings
    lease = service.claim(lambda: InteractiveSession(service), liveness_seconds=settings.liveness_seconds)
    return {
        "lease_token": lease.token,
        "idle_timeout_seconds": settings.idle_seconds,
        "liveness_timeout_seconds": settings.liveness_seconds,
        "max_sessions": settings.sessions,
    }


@router.get("/capabilities")
def capabilities(service: Served) -> dict[str, Any]:
    """What the network takes, itself or turned into what it takes."""
    answerer = service.answerers.find(None, service.settings.modality)
    accepts = service.answerers.load(answerer).spec.accepts
    return {
        "supported_interactions": {
            "points": takes(PromptKind.POINT, accepts),
            "bbox2d": takes(PromptKind.BOX, accepts),
            "bbox3d": takes(PromptKind.BOX, accepts),
            "scribble": takes(PromptKind.SCRIBBLE, accepts),
            "lasso": takes(PromptKind.LASSO, accepts),
        },
        # Our networks have no such channels; the numbers are those of nnInteractive's, which clients may show.
        "channel_mapping": {"bbox": [1, 2], "lasso": [1, 2], "points": [3, 4], "scribble": [5, 6]},
        "num_interaction_channels": 7,
        "supports_initial_label": takes(PromptKind.MASK, accepts),
        "supports_zero_shot_label_refinement": takes(PromptKind.MASK, accepts),
        "preferred_scribble_thickness": [2, 2, 2],
        "interaction_decay": 1.0,
        "inference_session_version": PROTOCOL_VERSION,
        "license": f"segevolution {__version__}, {answerer.title}: for research; not a medical device",
        "supports_undo": True,
        "do_autozoom": True,
    }


def takes(kind: PromptKind, accepts: frozenset[PromptKind]) -> bool:
    """Whether a network takes a kind of prompt, or something that it is turned into."""
    return kind in accepts or any(rule.kind == kind and rule.into <= accepts for rule in CONVERSIONS)


@router.post("/set_image")
async def set_image(request: Request, service: Served, token: Token = None) -> dict[str, Any]:
    """Begin with an image."""
    body = await request.body()

    def work(session: InteractiveSession) -> dict[str, Any]:
        properties = meta_of(request, ImageMeta).image_properties
        image = unpack_array(body, service.settings.volume_bytes)
        return {"original_image_shape": session.set_image(image, None if properties is None else properties.spacing)}

    return await in_session(service, token, work)


@router.post("/set_target_buffer")
def set_target_buffer(body: TargetBuffer, service: Served, token: Token = None) -> dict[str, Any]:
    """The shape of the client's buffer."""
    with service.using(token, InteractiveSession) as (_, session):
        session.set_target_buffer(body.shape)
    return {}


@router.post("/set_do_autozoom")
async def set_do_autozoom(body: Autozoom, service: Served, token: Token = None) -> dict[str, Any]:
    """Heard, and nothing else."""
    with service.using(token, InteractiveSession):
        return {}


@router.post("/reset_interactions")
def reset_interactions(service: Served, token: Token = None) -> dict[str, Any]:
    """Forget all prompts."""
    with service.using(token, InteractiveSession) as (_, session):
        session.reset()
    return {}


@router.post("/add_point_interaction", response_class=Response)
def add_point_interaction(body: PointInteraction, service: Served, token: Token = None) -> Response:
    """A point."""
    with service.using(token, InteractiveSession) as (_, session):
        patch = session.add_point(body.coordinates, positive=body.include_interaction, run=body.run_prediction)
    return patch_reply(patch)


@router.post("/add_bbox_interaction", response_class=Response)
def add_bbox_interaction(body: BoxInteraction, service: Served, token: Token = None) -> Response:
    """A box."""
    ranges = [[round(low), round(high)] for low, high in body.bbox_coords]
    with service.using(token, InteractiveSession) as (_, session):
        patch = session.add_box(ranges, positive=body.include_interaction, run=body.run_prediction)
    return patch_reply(patch)


@router.post("/add_scribble_interaction", response_class=Response)
async def add_scribble_interaction(request: Request, service: Served, token: Token = None) -> Response:
    """A scribble."""
    return await _drawn("scribble", request, service, token)


@router.post("/add_lasso_interaction", response_class=Response)
async def add_lasso_interaction(request: Request, service: Served, token: Token = None) -> Response:
    """A lasso."""
    return await _drawn("lasso", request, service, token)


@router.post("/add_initial_seg_interaction", response_class=Response)
async def add_initial_seg_interaction(request: Request, service: Served, token: Token = None) -> Response:
    """A segmentation to begin with."""
    body = await request.body()

    def work(session: InteractiveSession) -> Patch:
        run = meta_of(request, InitialMeta).run_prediction
        return session.add_initial_mask(unpack_array(body, service.settings.volume_bytes), run=run)

    return patch_reply(await in_session(service, token, work))


@router.post("/undo", response_class=Response)
def undo(service: Served, token: Token = None) -> Response:
    """Take back the newest prompt."""
    with service.using(token, InteractiveSession) as (_, session):
        return patch_reply(session.undo())


@router.post("/predict", response_class=Response)
def predict(service: Served, token: Token = None) -> Response:
    """Answer what was added without an answer."""
    with service.using(token, InteractiveSession) as (_, session):
        return patch_reply(session.predict())


@router.post("/heartbeat")
async def heartbeat(service: Served, token: Token = None) -> dict[str, Any]:
    """A sign of life, which does not put off the idle time."""
    with service.using(token, InteractiveSession, action=False) as (lease, _):
        return {"remaining_seconds": service.leases.remaining(lease)}


@router.get("/lease_status")
async def lease_status(service: Served, token: Token = None) -> dict[str, Any]:
    """How long the session lasts; a look alone."""
    with service.using(token, InteractiveSession, action=False, alive=False) as (lease, _):
        return {
            "remaining_seconds": service.leases.remaining(lease),
            "idle_timeout_seconds": service.settings.idle_seconds,
        }


@router.post("/release")
def release(service: Served, token: Token = None) -> dict[str, Any]:
    """Free the session; also where it is gone already."""
    service.leases.release(token)
    return {"released": True}


PATHS = frozenset(route.path for route in router.routes if hasattr(route, "path"))


async def _drawn(kind: str, request: Request, service: Service, token: str | None) -> Response:
    body = await request.body()

    def work(session: InteractiveSession) -> Patch:
        meta = meta_of(request, DrawnMeta)
        drawn_array = unpack_array(body, service.settings.volume_bytes)
        return session.add_drawn(
            kind, drawn_array, meta.interaction_bbox, positive=meta.include_interaction, run=meta.run_prediction
        )

    return patch_reply(await in_session(service, token, work))


async def in_session(service: Service, token: str | None, work: Callable[[InteractiveSession], Reply]) -> Reply:
    """Do something with a session in a thread of its own."""

    def held() -> Reply:
        with service.using(token, InteractiveSession) as (_, session):
            return work(session)

    return await run_in_threadpool(held)


def meta_of(request: Request, schema: type[Schema]) -> Schema:
    """What the header beside a packed array says; raises BadRequest."""
    try:
        return json_from_text(
            request.headers.get(META) or "{}", schema, where=f"the header {META}", error=FormatError, strict=False
        )
    except FormatError as error:
        raise BadRequest(str(error)) from error


def patch_reply(patch: Patch) -> Response:
    """A patch on the wire."""
    meta: dict[str, Any] = {"ran_prediction": patch.ran, "bbox": patch.box}
    content = b""
    if patch.voxels is not None:
        meta |= {"dtype": patch.voxels.dtype.name, "shape": list(patch.voxels.shape)}
        content = pack_array(patch.voxels)
    return Response(content, media_type=OCTETS, headers={META: json.dumps(meta, separators=(",", ":"))})
