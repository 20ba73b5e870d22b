"""The server itself, its adapters, and the volumes that it holds."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from starlette.concurrency import run_in_threadpool

from ... import __version__
from ..answerers import Answerers
from ..examples import EXAMPLES, example_volume
from ..faults import BadRequest, NotFound, WrongKind
from ..saving import FORMATS, as_nifti
from ..service import Served, Service
from ..uploads import ACCEPTED, Reading, read_upload, upload_folder, upload_name
from ..volumes import Handle
from .queries import ONLY_KNOWN
from .replies import adapter_reply, volume_reply

router = APIRouter(prefix="/api", dependencies=[ONLY_KNOWN])
OCTETS = "application/octet-stream"


@router.get("/health", tags=["server"])
async def health(service: Served) -> dict[str, Any]:
    """Whether the server is there; needs no key."""
    return {"status": "ok", "version": __version__, "key_required": service.settings.key is not None}


@router.get("/server", tags=["server"])
async def server(service: Served) -> dict[str, Any]:
    """Version, limits and formats."""
    settings = service.settings
    return {
        "version": __version__,
        "limits": {
            "sessions": settings.sessions,
            "volume_bytes": settings.volume_bytes,
            "request_bytes": settings.request_bytes,
            "idle_seconds": settings.idle_seconds,
        },
        "sessions": len(service.leases),
        "formats": {"upload": list(ACCEPTED), "labels": list(FORMATS)},
        "disclaimer": "For research; not a medical device.",
    }


@router.get("/adapters", tags=["server"])
def adapters(service: Served) -> dict[str, Any]:
    """What can answer."""
    answerers: Answerers = service.answerers
    return {"adapters": [adapter_reply(answerer, answerers) for answerer in answerers.all]}


@router.get("/examples", tags=["volumes"])
async def examples() -> dict[str, Any]:
    """Volumes to try without a file."""
    return {
        "examples": [{"id": each.id, "title": each.title, "modality": each.modality} for each in EXAMPLES],
    }


@router.post("/volumes", tags=["volumes"])
async def add_volume(
    request: Request,
    service: Served,
    name: str | None = None,
    example: str | None = None,
    modality: str | None = None,
    series: str | None = None,
    orientation: str | None = None,
    spacing: Annotated[str | None, Query(description="x,y,z in millimetres")] = None,
    time: Annotated[int | None, Query(ge=0)] = None,
) -> dict[str, Any]:
    """Send a volume as the request's body, or take an example."""
    if (name is None) == (example is None):
        raise BadRequest("give the file's name with its bytes as the body, or an example.")
    if example is not None:
        handle = await run_in_threadpool(lambda: service.volumes.add(example_volume(example), f"example_{example}"))
        return await run_in_threadpool(volume_reply, handle)
    reading = Reading(modality or None, series or None, orientation or None, _spacing(spacing), time)
    handle = await _uploaded(request, service, str(name), reading)
    return await run_in_threadpool(volume_reply, handle)


@router.get("/volumes/{volume}", tags=["volumes"])
def volume(volume: str, service: Served) -> dict[str, Any]:
    """What is said of a volume."""
    return volume_reply(service.volumes.find(volume))


@router.get("/volumes/{volume}/{file}", tags=["volumes"], response_class=Response)
def image(volume: str, file: str, service: Served) -> Response:
    """The voxels as NIfTI: image.nii or image.nii.gz."""
    if file not in ("image.nii", "image.nii.gz"):
        raise NotFound(f'a volume has no "{file[:40]}"; ask for image.nii or image.nii.gz.')
    content = as_nifti(service.volumes.find(volume).volume, compressed=file.endswith(".gz"))
    return Response(content, media_type=OCTETS)


async def _uploaded(request: Request, service: Service, name: str, reading: Reading) -> Handle:
    upload_name(name)
    with upload_folder() as folder:
        path = folder / name
        await receive_file(request, path)

        def keep() -> Handle:
            return service.volumes.add(read_upload(path, service.settings, reading), name)

        return await run_in_threadpool(keep)


async def receive_file(request: Request, path: Any) -> None:
    """Write the body of a request to a file.

    Raises:
        WrongKind: the body is a form or JSON.
        TooLarge: as `guard` says.
    """
    kind = request.headers.get("content-type", OCTETS).partition(";")[0].strip().lower()
    if kind in ("multipart/form-data", "application/json", "application/x-www-form-urlencoded"):
        raise WrongKind(f"send the file's bytes themselves as the body ({OCTETS}), not {kind}.")
    with path.open("wb") as target:
        async for chunk in request.stream():
            target.write(chunk)


def _spacing(text: str | None) -> list[float] | None:
    if not text:
        return None
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise BadRequest(f'"{text[:60]}" is no spacing; give three numbers with commas, such as 0.8,0.8,3.') from None
