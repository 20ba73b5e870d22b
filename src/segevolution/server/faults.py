"""What a server refuses, each with the HTTP status that says so.

SegevolutionError
└── Refusal            status 400
    ├── SettingError   the command line asks for an impossible server
    ├── KeyRequired    401
    ├── ForeignOrigin  403
    ├── NotFound       404
    ├── NothingToUndo  409
    ├── Gone           410
    ├── TooLarge       413
    ├── WrongKind      415
    ├── BadRequest     422
    └── Full           503
"""

from ..errors import OversizeError, SegevolutionError


class Refusal(SegevolutionError):
    """A request that is not answered as it was meant."""

    status = 400


class SettingError(Refusal):
    """A server cannot be started so."""


class KeyRequired(Refusal):
    """The key is missing or wrong."""

    status = 401


class ForeignOrigin(Refusal):
    """A page of another site asks, or this server under another site's name."""

    status = 403


class NotFound(Refusal):
    """There is nothing of that name."""

    status = 404


class NothingToUndo(Refusal):
    """There is no step to take back, or to bring again."""

    status = 409


class Gone(Refusal):
    """A session or volume that was released, timed out, or belonged to a server that has ended."""

    status = 410


class TooLarge(Refusal):
    """A body or a volume beyond the limits."""

    status = 413


class WrongKind(Refusal):
    """A body of another kind than the route takes."""

    status = 415


class BadRequest(Refusal):
    """A request whose parts are missing, unknown or of the wrong kind."""

    status = 422


class Full(Refusal):
    """No session or no memory is left."""

    status = 503


def status_of(error: SegevolutionError) -> int:
    """The HTTP status that answers an error of this package."""
    if isinstance(error, OversizeError):
        return TooLarge.status
    return error.status if isinstance(error, Refusal) else 400
