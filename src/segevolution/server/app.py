"""The web application: all routes, what guards them, and what becomes of an error."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio.to_thread
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.routing import Match
from starlette.staticfiles import StaticFiles

from .. import __version__
from ..errors import SegevolutionError
from .faults import BadRequest, NotFound, TooLarge, WrongKind, status_of
from .guard import OWN, Guard, refused
from .monailabel import routes as monailabel
from .nninteractive import routes as nninteractive
from .openapi_page import openapi_page
from .own import server_routes, session_routes
from .service import LOG, Service
from .settings import Settings

PAGE = Path(__file__).with_name("page")
_THREADS = 40


def create_app(settings: Settings) -> FastAPI:
    """The application of one server.

    Raises:
        SettingError, CheckpointError, AdapterError: it cannot be served so.
    """
    service = Service(settings)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        # Each session may wait for the network, and heartbeats of the others must not wait behind them.
        anyio.to_thread.current_default_thread_limiter().total_tokens = _THREADS + settings.sessions
        service.start()
        yield
        service.stop()

    app = FastAPI(
        title="SegEVOLution",
        version=__version__,
        description="Promptable segmentation of 3-D scans. For research; not a medical device.",
        lifespan=lifespan,
        openapi_url=f"{OWN}/openapi.json",
        docs_url=None,
        redoc_url=None,
    )
    app.state.service = service
    app.include_router(server_routes.router)
    app.include_router(session_routes.router)
    app.include_router(nninteractive.router)
    app.include_router(monailabel.router)
    app.add_api_route(f"{OWN}/docs", lambda: HTMLResponse(openapi_page(app.openapi())), include_in_schema=False)
    app.add_api_route(
        OWN + "/{rest:path}", _nothing_there, methods=["GET", "POST", "PUT", "DELETE", "PATCH"], include_in_schema=False
    )
    if PAGE.is_dir():
        app.mount("/", StaticFiles(directory=PAGE, html=True), name="page")
    app.add_exception_handler(SegevolutionError, _on_own_error)
    app.add_exception_handler(RequestValidationError, _on_bad_request)
    app.add_exception_handler(HTTPException, _on_http_error)
    app.add_exception_handler(ClientDisconnect, _on_disconnect)
    app.add_exception_handler(MemoryError, _on_failure)
    app.add_exception_handler(Exception, _on_failure)
    app.add_middleware(Guard, settings=settings, protocol_paths=nninteractive.PATHS)
    return app


def _nothing_there(request: Request, rest: str) -> None:
    if any(route.matches(request.scope)[0] is Match.PARTIAL for route in request.app.routes):
        raise HTTPException(405)
    raise NotFound(f'there is no route "{OWN}/{rest[:60]}"; see {OWN}/docs.')


def _on_own_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, SegevolutionError)
    return refused(request.url.path, error, status_of(error))


def _on_bad_request(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    fault = error.errors()[0]
    if isinstance(fault.get("input"), bytes):  # what is not said to be JSON is handed on as it came
        kind = request.headers.get("content-type", "no kind").partition(";")[0].strip()
        wrong = WrongKind(f"send JSON as the body (application/json), not {kind[:60]}.")
        return refused(request.url.path, wrong, wrong.status)
    if fault["type"] == "json_invalid":
        reason = fault["ctx"]["error"].rstrip(".")
        return refused(request.url.path, BadRequest(f"the body is no JSON: {reason}."), BadRequest.status)
    where = ".".join(str(part) for part in fault["loc"] if part not in ("body", "query", "path"))
    sentence = fault["msg"][:1].lower() + fault["msg"][1:]
    if fault["type"].startswith("union_tag"):
        key, kinds = fault["ctx"]["discriminator"].strip("'"), fault["ctx"].get("expected_tags", "")
        sentence = f"{key} is missing" if not kinds else f"{key} is none of {kinds}"
    return refused(request.url.path, BadRequest(f"{where or 'the request'}: {sentence}."), BadRequest.status)


def _on_http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    cause = error.__cause__  # of whatever goes wrong while FastAPI reads a body
    if isinstance(cause, SegevolutionError):
        return _on_own_error(request, cause)
    if isinstance(cause, ValueError | RecursionError):
        unread = BadRequest("the body cannot be read as JSON: it is no UTF-8, or too deep, or a number is too long.")
        return refused(request.url.path, unread, unread.status)
    names = {404: NotFound.__name__, 405: NotFound.__name__, 413: TooLarge.__name__}
    sentence = {404: "there is nothing of that name.", 405: "this route does not take that method."}
    detail = sentence.get(error.status_code, str(error.detail))
    kind = names.get(error.status_code, BadRequest.__name__)
    return refused(request.url.path, Exception(detail), error.status_code, kind)


def _on_disconnect(request: Request, error: Exception) -> Response:
    """The client went away while it sent a body: nobody reads the answer, and nothing failed here."""
    return refused(request.url.path, BadRequest("the body ended before its end."), BadRequest.status)


def _on_failure(request: Request, error: Exception) -> Response:
    """A fault of ours: its traceback goes to the log, and the client is told to come again, not how we failed."""
    LOG.error("%s %s failed", request.method, request.url.path, exc_info=error)
    sentence = "the server failed at this request, and its log says how; try again, or ask whoever runs it."
    return refused(request.url.path, Exception(sentence), 503, "ServerFault")
