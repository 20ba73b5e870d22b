"""`segevolution serve`: a server for 3D Slicer, napari and a page in the browser."""

import contextlib
import threading
import webbrowser
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Literal

import typer

from ..errors import OutputError
from .console import Device, Quiet, note
from .options import ModelName

app = typer.Typer(add_completion=False)

_KEY = "SEGEVOLUTION_KEY"


@app.command()
def serve(
    model: ModelName = "segvol-mini",
    adapter: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="An adapter folder, or the name of one that ships, that clients may choose; give it again for more. "
            "Those that ship for the model are there anyway.",
        ),
    ] = None,
    default: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Which of the adapters answers unless a client chooses; none for the bare model. Default: the "
            "only --adapter; else the expert of the image's modality, where there is one, or the bare model.",
        ),
    ] = None,
    modality: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="CT, MRI, PET or US: of images from Slicer and napari, which do not say it."),
    ] = None,
    orientation: Annotated[
        str,
        typer.Option(
            metavar="CODES", help="Where the axes i, j, k of images from Slicer and napari point; they do not say it."
        ),
    ] = "LPS",
    host: Annotated[
        str, typer.Option(metavar="ADDRESS", help="Where to listen; beyond this machine a key is needed.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes any that is free.")] = 1527,
    key: Annotated[
        str | None,
        typer.Option(
            metavar="KEY",
            envvar=_KEY,
            show_envvar=False,
            help=f"What clients must send; also ${_KEY}, which no list of processes shows.",
        ),
    ] = None,
    sessions: Annotated[int, typer.Option(metavar="N", min=1, help="The most at one time.")] = 20,
    idle_minutes: Annotated[float, typer.Option(metavar="MIN", help="A session unused for so long is freed.")] = 10.0,
    liveness_seconds: Annotated[
        float,
        typer.Option(metavar="S", help="A Slicer or napari that sends no heartbeat for so long is taken for dead."),
    ] = 60.0,
    max_gigabytes: Annotated[float, typer.Option(metavar="GB", help="The largest image, unpacked.")] = 4.0,
    max_request_gigabytes: Annotated[float, typer.Option(metavar="GB", help="The largest upload.")] = 2.0,
    memory_gigabytes: Annotated[
        float | None,
        typer.Option(metavar="GB", help="What all images together may take; default half of what is free."),
    ] = None,
    windows: Annotated[
        Literal["roi", "lattice", "central", "focus", "off", "propagate"] | None,
        typer.Option(help="How to zoom in; default: as the model prefers."),
    ] = None,
    device: Device = "auto",
    open_page: Annotated[bool, typer.Option("--open", help="Open the page in a browser.")] = False,
    quiet: Quiet = False,
) -> None:
    """Serve a model to 3D Slicer, napari, MONAI Label's clients and a page in the browser.

    It listens on this machine only, unless --host and --key say otherwise. Nothing that a client sends is kept longer
    than its session.

    For research; not a medical device.

    Examples:

    segevolution serve --open

    segevolution serve --adapter runs/mine/adapter --modality MRI
    """
    require_server_packages()

    from ..memory import GIGABYTE, MemoryBudget
    from ..server.running import listening_socket, run, url_of
    from ..server.settings import Settings, require_positive
    from ..vocabulary import Modality

    adapter_names = tuple(adapter or ())
    settings = Settings(
        model=model,
        adapters=adapter_names,
        adapter=default or (Path(adapter_names[0]).name if len(adapter_names) == 1 else None),
        device=device,
        windows=windows,
        host=host,
        port=port,
        key=key,
        sessions=sessions,
        idle_seconds=60 * idle_minutes,
        liveness_seconds=liveness_seconds,
        request_bytes=int(require_positive("--max-request-gigabytes", max_request_gigabytes) * GIGABYTE),
        volume_bytes=int(require_positive("--max-gigabytes", max_gigabytes) * GIGABYTE),
        memory=MemoryBudget.of(memory_gigabytes),
        modality=None if modality is None else Modality.parse(modality),
        orientation=orientation,
    )
    with contextlib.closing(listening_socket(settings)) as listener:
        url = url_of(listener)
        page = url if settings.key is None else f"{url}/#key={settings.key}"

        def ready() -> None:
            note(f"serving {settings.model} at {url} (Ctrl-C ends it; for research, not a medical device)")
            note(f"3D Slicer and napari: {url}    page: {page}    API: {url}/api/docs", quiet=quiet)
            if open_page:
                threading.Thread(target=webbrowser.open, args=(page,), daemon=True).start()

        run(settings, listener, ready)


def require_server_packages() -> None:
    """Refuse to go on without the extra [server]; raises OutputError."""
    if any(find_spec(name) is None for name in ("fastapi", "uvicorn", "python_multipart")):
        raise OutputError('the server needs more packages; install them with: pip install "segevolution[server]".')
