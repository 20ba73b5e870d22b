"""What every request passes before any route sees it: whose page asks, whether it has the key, how much it sends."""

import hashlib
import hmac
from collections.abc import Mapping
from urllib.parse import SplitResult, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .faults import BadRequest, ForeignOrigin, KeyRequired, Refusal, TooLarge
from .settings import LOOPBACK, Settings

OWN = "/api"
_GUARDED = (OWN, "/monai")
# Signs of life, and where MONAI Label's clients give the key as a password.
_OPEN_PATHS = (f"{OWN}/health", "/healthz", "/monai/auth/", "/monai/auth/token")
_LARGEST_JSON = 64 << 20
_LARGEST_WITHOUT_KEY = 64 << 10  # a form with a name and a password
_LARGE_KINDS = ("application/octet-stream", "multipart/form-data")
_HEADERS = {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' data: blob:; style-src 'self' 'unsafe-inline'; "
    "script-src 'self' 'wasm-unsafe-eval'; worker-src 'self' blob:; connect-src 'self' data: blob:; object-src 'none'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


def refused(path: str, error: Refusal | Exception, status: int, kind: str | None = None) -> Response:
    """The answer to a request that is not carried out, in the form of the API that it was sent to."""
    if path.startswith(f"{OWN}/"):
        body = {"error": str(error), "kind": kind or type(error).__name__}
    else:
        body = {"detail": str(error)}
    headers = {"WWW-Authenticate": "Bearer"} if status == KeyRequired.status else None
    return JSONResponse(body, status, headers)


class Guard:
    """ASGI middleware.

    Args:
        app: what it guards.
        settings: of the server.
        protocol_paths: routes at the root that need the key; what else lies there is the page, which holds no secret.
    """

    def __init__(self, app: ASGIApp, settings: Settings, protocol_paths: frozenset[str]) -> None:
        self._app, self._settings, self._protocol_paths = app, settings, protocol_paths
        self._key = None if settings.key is None else _hashed(settings.key.encode())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        try:
            self._check_origin(headers)
            self._check_key(scope, headers)
            limit = self._limit(scope["path"], headers)
            if _announced(headers) > limit:
                raise TooLarge(_too_large(limit))
        except Refusal as error:
            await refused(scope["path"], error, error.status)(scope, receive, sending)
            return
        await self._app(scope, _Counted(receive, limit), sending)

    def _check_origin(self, headers: Mapping[str, str]) -> None:
        """A browser tells which page asks; another site's must not use a server on this person's machine."""
        host = headers.get("host", "")
        if self._settings.is_loopback and _address(f"//{host}").hostname not in LOOPBACK:
            raise ForeignOrigin("this server listens on this machine only, and not under that name.")
        origin = headers.get("origin")
        if origin is not None and _address(origin).netloc != host:
            raise ForeignOrigin("pages of other sites may not use this server.")

    def _check_key(self, scope: Scope, headers: Mapping[str, str]) -> None:
        path = scope["path"]
        guarded = path in self._protocol_paths or path.split("/")[1:2] in [[prefix[1:]] for prefix in _GUARDED]
        page = scope["method"] in ("GET", "HEAD") and not guarded
        if self._key is None or path in _OPEN_PATHS or page:
            return
        scheme, _, sent_key = headers.get("authorization", "").partition(" ")
        # Hashes have one length, so that the comparison tells nothing of the key's.
        if not hmac.compare_digest(_hashed(sent_key.strip().encode()), self._key) or scheme.lower() != "bearer":
            raise KeyRequired("this server asks for its key: send it as Authorization: Bearer KEY.")

    def _limit(self, path: str, headers: Mapping[str, str]) -> int:
        if path in _OPEN_PATHS:
            return min(_LARGEST_WITHOUT_KEY, self._settings.request_bytes)
        large = headers.get("content-type", "").partition(";")[0].strip().lower() in _LARGE_KINDS
        return self._settings.request_bytes if large else min(_LARGEST_JSON, self._settings.request_bytes)


class _Counted:
    """A body that ends with TooLarge where it is longer than it may be, whatever its header said."""

    def __init__(self, receive: Receive, limit: int) -> None:
        self._receive, self._limit, self._count = receive, limit, 0

    async def __call__(self) -> Message:
        message = await self._receive()
        self._count += len(message.get("body", b""))
        if self._count > self._limit:
            raise TooLarge(_too_large(self._limit))
        return message


def _announced(headers: Mapping[str, str]) -> int:
    """The length of the body as its header says it; 0 where it does not."""
    try:
        return int(headers.get("content-length") or 0)
    except ValueError:
        raise BadRequest("the Content-Length is no number.") from None


def _address(url: str) -> SplitResult:
    try:
        return urlsplit(url)
    except ValueError:
        raise ForeignOrigin("the Host or the Origin of this request is no address.") from None


def _too_large(limit: int) -> str:
    return f"the request is larger than the {limit / 1e6:.3g} MB that this server takes."


def _hashed(text: bytes) -> bytes:
    return hashlib.sha256(text).digest()
