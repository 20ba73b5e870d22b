"""`segevolution view`: one scan in the browser, to be segmented by clicks."""

import contextlib
import http.client
import io
import os
import signal
import threading
import webbrowser
import zipfile
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlencode, urlsplit

import typer

from ..errors import FormatError, SegevolutionError
from .console import Device, Quiet, note
from .options import ImageModality, ModelName, Orientation, SeriesUid, TimePoint, VoxelSpacing
from .serve import require_server_packages

app = typer.Typer(add_completion=False)


@app.command()
def view(
    image: Annotated[
        Path,
        typer.Argument(metavar="IMAGE", help="A NIfTI, NRRD or MetaImage file, or a DICOM folder.", show_default=False),
    ],
    modality: ImageModality = None,
    series: SeriesUid = None,
    orientation: Orientation = None,
    spacing: VoxelSpacing = None,
    time: TimePoint = None,
    model: ModelName = "segvol-mini",
    adapter: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="An adapter folder, or the name of one that ships; give it again for more."),
    ] = None,
    device: Device = "auto",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes any that is free.")] = 0,
    browser: Annotated[
        bool, typer.Option("--browser/--no-browser", help="Open the page, or only print its address.")
    ] = True,
    quiet: Quiet = False,
) -> None:
    """Show one scan in the browser, and segment it there by clicks, boxes, scribbles and names.

    A server for it runs on this machine, and only for this machine, until Ctrl-C.

    For research; not a medical device.

    Examples:

    segevolution view ct.nii.gz --modality CT

    segevolution view dicom_folder --adapter runs/mine/adapter
    """
    require_server_packages()
    if not image.exists():
        raise FormatError(f"{image} is not there.")

    from ..server.running import listening_socket, run, url_of
    from ..server.settings import Settings

    adapter_names = tuple(adapter or ())
    default = Path(adapter_names[0]).name if len(adapter_names) == 1 else None
    settings = Settings(model=model, adapters=adapter_names, adapter=default, device=device, port=port)
    header_values = {
        "modality": modality,
        "series": series,
        "orientation": orientation,
        "spacing": spacing,
        "time": time,
    }
    failures: list[SegevolutionError] = []
    with contextlib.closing(listening_socket(settings)) as listener:
        url = url_of(listener)

        def show() -> None:
            try:
                volume = send(url, image, {name: value for name, value in header_values.items() if value is not None})
            except SegevolutionError as error:
                failures.append(error)
                os.kill(os.getpid(), signal.SIGINT)
                return
            page = f"{url}/#volume={volume['id']}"
            note(f"{image} is at {page} (Ctrl-C ends it; for research, not a medical device)", quiet=quiet and browser)
            if browser:
                webbrowser.open(page)

        try:
            run(settings, listener, threading.Thread(target=show, daemon=True).start)
        except KeyboardInterrupt:
            if not failures:
                raise
    if failures:
        raise failures[0]


def send(url: str, image: Path, said: dict[str, Any]) -> dict[str, Any]:
    """Send an image to a server of this machine; returns the volume as the server describes it.

    Args:
        url: of the server, without a path.
        image: a file, or a DICOM folder.
        said: what a person says of it: modality, orientation ...

    Raises:
        FormatError: the server cannot use it, in its own sentence.
    """
    from ..documents import json_from_text

    name, body = _as_upload(image)
    place = urlsplit(url)
    connection = http.client.HTTPConnection(place.hostname or "", place.port)
    with contextlib.closing(connection), contextlib.closing(body):
        connection.request(
            "POST",
            f"/api/volumes?{urlencode({**said, 'name': name})}",
            body,
            {"Content-Type": "application/octet-stream", "Content-Length": str(_length(body))},
        )
        response = connection.getresponse()
        answer = json_from_text(response.read(), dict[str, Any], where="the answer of the server", error=FormatError)
    if response.status != http.client.OK:
        raise FormatError(str(answer.get("error", f"the server answered with status {response.status}.")))
    return answer


def _as_upload(image: Path) -> tuple[str, io.BufferedIOBase]:
    """A name and bytes that the server takes: the file as it is, a folder as a zip, other files as NIfTI."""
    from ..imaging.formats import read
    from ..server.saving import as_nifti, stem
    from ..server.uploads import ACCEPTED

    if image.is_dir():
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_STORED) as archive:
            for path in sorted(path for path in image.rglob("*") if path.is_file()):
                archive.write(path, path.relative_to(image))
        packed.seek(0)
        return f"{image.resolve().name}.zip", packed
    if image.name.lower().endswith(ACCEPTED):
        return image.name, image.open("rb")
    return f"{stem(image.name)}.nii", io.BytesIO(as_nifti(read(image), compressed=False))


def _length(body: io.BufferedIOBase) -> int:
    length = body.seek(0, io.SEEK_END)
    body.seek(0)
    return length
