"""Fetch a series from a DICOMweb service (WADO-RS) and store files on one (STOW-RS), by dicomweb-client.

Needs `pip install "segevolution[dicom]"`; only the command line imports this module, when an address is given.

Credentials come from SEGEVOLUTION_DICOMWEB_TOKEN (a bearer token), from SEGEVOLUTION_DICOMWEB_USER and
SEGEVOLUTION_DICOMWEB_PASSWORD, or from a .netrc file, in this order. They are sent over HTTPS, or to this machine,
only, and stand in no message.
"""

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pydicom
import requests
from dicomweb_client.web import DICOMwebClient
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase, HTTPBasicAuth
from requests.utils import get_netrc_auth
from urllib3.util import Retry

from ..errors import FormatError, OutputError, SegevolutionError
from ..imaging.formats.dicom_file import without_warnings
from ..memory import MemoryBudget
from .dicomweb_address import DicomwebAddress

TOKEN, USER, PASSWORD = (f"SEGEVOLUTION_DICOMWEB_{name}" for name in ("TOKEN", "USER", "PASSWORD"))
_SECONDS = (10.0, 300.0)  # to connect, and between two pieces of an answer
_ATTEMPTS = Retry(3, connect=0, read=0, status_forcelist=(429, 503, 504), backoff_factor=0.5, raise_on_status=False)
_ANY_SYNTAX = (("application/dicom", "*"),)  # as it is stored: nothing is decompressed on the way
_MOST_FILES = 20_000
_NO_CONTENT, _UNAUTHORISED, _FORBIDDEN, _NOT_FOUND, _CONFLICT = 204, 401, 403, 404, 409


class _BearerAuth(AuthBase):
    """Sends a token; unlike a header of the session, it keeps requests from looking into .netrc."""

    def __init__(self, token: str) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._token}"
        return request


class _NoAuth(AuthBase):
    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        return request


class DicomwebService:
    """A DICOMweb service.

    Args:
        address: of the service, or of anything on it.
        memory: what an answer may hold.

    Raises:
        FormatError: there are credentials, and the address is plain HTTP to another machine.
    """

    def __init__(self, address: DicomwebAddress, memory: MemoryBudget | None = None) -> None:
        self.address = address
        self._memory = memory or MemoryBudget.of()
        session = requests.Session()
        auth = _credentials(address)
        session.auth = auth or _NoAuth()
        self._has_credentials = auth is not None
        for scheme in ("http://", "https://"):
            session.mount(scheme, HTTPAdapter(max_retries=_ATTEMPTS))
        self._client = DICOMwebClient(address.service, session, callback=self._limited, timeout=_SECONDS)
        # Its own way of trying again would wait half a minute where nobody listens.
        self._client.set_http_retry_params(retry=False)

    def check(self) -> None:
        """Refuse, before any work, a service that does not answer or does not let one in.

        Raises:
            OutputError: the sentence says which.
        """
        with self._told(OutputError):
            try:
                self._client.search_for_studies(limit=1)
            except requests.HTTPError as error:  # some services store and cannot be searched
                if _status(error) in (_UNAUTHORISED, _FORBIDDEN):
                    raise

    def fetch(self, folder: Path, progress: Callable[[int], None] = lambda count: None) -> int:
        """Write the files of the address's series into an empty folder, numbered; returns how many there are.

        Args:
            progress: told how many have come.

        Raises:
            FormatError: the service cannot be reached, does not let one in, has no such series, or sends what is no
                DICOM.
            OversizeError: the series is larger than memory allows.
        """
        assert self.address.study is not None
        assert self.address.series is not None
        count = 0
        with without_warnings(), self._told(FormatError):
            for data in self._client.iter_series(self.address.study, self.address.series, media_types=_ANY_SYNTAX):
                count += 1
                if count > _MOST_FILES:
                    raise FormatError(f"{self.address.resource} holds more than {_MOST_FILES} files.")
                data.save_as(folder / f"{count:05d}.dcm", enforce_file_format=True)
                progress(count)
        if count == 0:
            raise FormatError(f"{self.address.resource} is an empty series; check its UID.")
        return count

    def store(self, file: Path) -> str:
        """Store a DICOM file; returns the address of its series.

        Raises:
            OutputError: the service cannot be reached, does not let one in, or did not take the file.
        """
        with without_warnings(), self._told(OutputError):
            data = pydicom.dcmread(file)
            answer = self._client.store_instances([data])
            if answer.get("FailedSOPSequence"):
                reason = answer.FailedSOPSequence[0].get("FailureReason")
                raise OutputError(
                    f"{self.address.host} did not store {file.name} (failure reason {reason or 'not said'}); its log "
                    "says why."
                )
        return DicomwebAddress(self.address.service, data.StudyInstanceUID, data.SeriesInstanceUID).resource

    def _limited(self, response: requests.Response, *args: Any, **options: Any) -> requests.Response:
        """Count what comes, so that no answer fills the memory."""
        if response.status_code == _NO_CONTENT:
            raise FormatError(f"{self.address.resource} is an empty series; check its UID.")
        pieces = response.iter_content
        received = 0

        def counted(*args: Any, **options: Any) -> Iterator[Any]:
            nonlocal received
            for piece in pieces(*args, **options):
                received += len(piece)
                self._memory.require(received, self.address.resource)
                yield piece

        response.iter_content = counted
        return response

    @contextlib.contextmanager
    def _told(self, kind: type[SegevolutionError]) -> Iterator[None]:
        """Turn what goes wrong between two machines into one sentence of a kind."""
        host = self.address.host
        try:
            yield
        except SegevolutionError:
            raise
        except requests.exceptions.SSLError as error:
            raise kind(
                f"{host} has no certificate that is trusted here, so nothing was sent; mend it, or name the file of "
                "its authority in REQUESTS_CA_BUNDLE."
            ) from error
        except requests.exceptions.Timeout as error:
            raise kind(f"{host} does not answer; try again later.") from error
        except (requests.exceptions.ChunkedEncodingError, requests.exceptions.ContentDecodingError) as error:
            raise kind(f"{host} broke off in the middle of an answer; try again.") from error
        except requests.exceptions.ConnectionError as error:
            raise kind(f"{host} cannot be reached; check address and port, and that the service runs.") from error
        except requests.HTTPError as error:
            raise kind(self._sentence(_status(error))) from error
        except requests.exceptions.RequestException as error:
            raise kind(f"{self.address.resource} answers with what is no DICOMweb; check the path.") from error
        except OSError as error:
            raise kind(f"what {host} sends cannot be kept here: {error.strerror or error}.") from error
        except Exception as error:  # pydicom and the client raise anything on what is no DICOM and no DICOMweb
            raise kind(f"{self.address.resource} answers with what is no DICOMweb; check the path.") from error

    def _sentence(self, status: int) -> str:
        host, resource = self.address.host, self.address.resource
        if status in (_UNAUTHORISED, _FORBIDDEN):
            if self._has_credentials:
                return f"{host} refuses the credentials (status {status}); check them."
            return (
                f"{host} asks who you are (status {status}); set {USER} and {PASSWORD}, or {TOKEN}, or name the host "
                "in a .netrc file."
            )
        if status == _NOT_FOUND:
            return f"{resource} is not there (status 404); check the path of the service and the UIDs."
        if status == _CONFLICT:
            return f"{host} did not store the file (status 409); its log says why."
        return f"{resource} answers with status {status}; the log of {host} says why."


def _credentials(address: DicomwebAddress) -> AuthBase | None:
    """What the environment or a .netrc file holds for a service.

    Raises:
        FormatError: there is something, and it would go through a network in clear text; or half of it is missing.
    """
    token, user, password = (os.environ.get(name, "") for name in (TOKEN, USER, PASSWORD))
    if bool(user) != bool(password):
        raise FormatError(f"{USER} and {PASSWORD} belong together, but only one is set; set both.")
    credentials: AuthBase | None = None
    if token:
        credentials = _BearerAuth(token)
    elif user:
        credentials = HTTPBasicAuth(user.encode(), password.encode())
    elif (entry := get_netrc_auth(address.service)) is not None:
        credentials = HTTPBasicAuth(*entry)
    if credentials is not None and not address.is_private:
        raise FormatError(
            f"{address.host} would get your credentials in clear text through plain HTTP; use dicomweb+https://, or "
            "unset them if it needs none."
        )
    return credentials


def _status(error: requests.HTTPError) -> int:
    return error.response.status_code if error.response is not None else 0
