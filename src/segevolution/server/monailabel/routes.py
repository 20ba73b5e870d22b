"""MONAI Label's routes, under /monai."""

import hmac
import shutil
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any

from fastapi import APIRouter, Request, Response
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData, UploadFile

from ...documents import json_from_text
from ...errors import FormatError
from ..faults import BadRequest, KeyRequired, NotFound
from ..service import Served, Service
from ..uploads import Reading, read_upload, upload_folder, upload_name
from ..volumes import Handle
from .inference import InferParams, Labelled, UploadedImage, inferred
from .replies import info_reply, labels_reply

PREFIX = "/monai"

router = APIRouter(prefix=PREFIX, tags=["MONAI Label"])


@router.get("/auth/")
async def auth(service: Served) -> dict[str, Any]:
    """Whether the server asks for its key, as a password."""
    return {"enabled": service.settings.key is not None}


@router.post("/auth/token")
async def token(request: Request, service: Served) -> dict[str, Any]:
    """The key, to whoever gives it as the password; the name does not matter."""
    form = await request.form()
    key = service.settings.key or ""
    if not hmac.compare_digest(str(form.get("password", "")).encode(), key.encode()):
        raise KeyRequired("the password is not this server's key.")
    return {"access_token": key, "token_type": "bearer"}


@router.get("/auth/token/valid")
async def token_valid() -> dict[str, Any]:
    """Whoever comes here has the key."""
    return {}


@router.get("/info/")
def info(service: Served) -> dict[str, Any]:
    """What can be asked of this server."""
    return info_reply(service)


@router.put("/session/")
async def begin(request: Request, service: Served) -> dict[str, Any]:
    """Send an image."""
    async with request.form() as form:
        handle = await run_in_threadpool(_kept, service, _file(form, "files"))

    def claim() -> dict[str, Any]:
        service.volumes.take(handle)
        image = UploadedImage(service, handle)
        try:
            lease = service.claim(lambda: image)
        except BaseException:
            image.close()
            raise
        return {"session_id": lease.token, "name": handle.name, "expiry": service.settings.idle_seconds}

    return await run_in_threadpool(claim)


@router.get("/session/{session}")
def session(session: str, service: Served) -> dict[str, Any]:
    """Whether an image is still here."""
    with service.using(session, UploadedImage) as (lease, image):
        name = None if image.handle is None else image.handle.name
        return {"session_id": lease.token, "name": name, "expiry": lease.idle_seconds}


@router.delete("/session/{session}")
def end(session: str, service: Served) -> dict[str, Any]:
    """Free an image."""
    return {"released": service.leases.release(session)}


@router.post("/infer/{model}", response_class=Response)
async def infer(
    model: str, request: Request, service: Served, session_id: str | None = None, image: str | None = None
) -> Response:
    """Segment an image that was sent before, or is sent here."""
    async with request.form() as form:
        params = _params(form)
        file = form.get("file")
        if session_id is None and not isinstance(file, UploadFile):
            raise NotFound("this server has no datastore; send the image in a session, or with the question.")
        inferred_labels = await run_in_threadpool(_asked, service, session_id, file, model, params)
    reply_values = {"label_names": inferred_labels.label_names, "result_extension": params.result_extension}
    return labels_reply(inferred_labels.content, params.result_extension, reply_values)


@router.get("/train/")
async def train() -> None:
    """Nothing is trained here; the client takes that for no training that runs."""
    raise NotFound("this server trains nothing; see segevolution adapt.")


@router.post("/activelearning/{strategy}")
async def next_sample(strategy: str) -> dict[str, Any]:
    """There is no datastore to choose from."""
    return {}


@router.get("/datastore/")
async def datastore() -> dict[str, Any]:
    """Empty."""
    return {"objects": {}}


@router.put("/datastore/label")
async def save_label() -> None:
    """Nothing is kept here, and a client must not believe so."""
    raise NotFound("this server keeps no labels; save the segmentation in the program that shows it.")


def _asked(service: Service, session: str | None, file: Any, model: str, params: InferParams) -> Labelled:
    if session is not None:
        with service.using(session, UploadedImage) as (_, image):
            if image.handle is None:
                raise NotFound("this image is gone; send it again.")
            return inferred(service, image.handle, model, params)
    handle = _kept(service, file)
    service.volumes.take(handle)
    try:
        return inferred(service, handle, model, params)
    finally:
        service.volumes.drop(handle)


def _kept(service: Service, file: UploadFile) -> Handle:
    """Read a file of a form; its name may be a path of the client's machine, of which the last part counts."""
    name = upload_name(PureWindowsPath(PurePosixPath(file.filename or "").name).name)
    with upload_folder() as folder:
        path = folder / name
        with path.open("wb") as target:
            shutil.copyfileobj(file.file, target)
        modality = service.settings.modality
        return service.volumes.add(read_upload(path, service.settings, Reading(modality)), name)


def _file(form: FormData, name: str) -> UploadFile:
    files = [part for part in form.getlist(name) if isinstance(part, UploadFile)]
    if len(files) != 1:
        raise BadRequest(f'send one image as the part "{name}" of a form; a DICOM series as one zip.')
    return files[0]


def _params(form: FormData) -> InferParams:
    try:
        text = str(form.get("params") or "{}")
        return json_from_text(text, InferParams, where="params", error=FormatError, strict=False)
    except FormatError as error:
        raise BadRequest(str(error)) from error
