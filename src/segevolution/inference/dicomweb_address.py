"""Addresses of DICOMweb services, and of studies and series on them, as a person types them.

    dicomweb://host:port/path/studies/UID/series/UID

`dicomweb://` is HTTPS; on this machine (localhost, 127.0.0.1, ::1), where nothing is sent through a network, it is
HTTP. `dicomweb+https://` and `dicomweb+http://` insist on either.
"""

import re
from dataclasses import dataclass
from importlib.util import find_spec
from urllib.parse import urlsplit

from ..errors import FormatError, SegevolutionError

_SCHEMES = ("dicomweb", "dicomweb+https", "dicomweb+http")
_LOOPBACK = frozenset(("localhost", "127.0.0.1", "::1"))
_UID = r"[0-9]+(?:\.[0-9]+)*"
_RESOURCE = re.compile(rf"(?P<service>.*?)(?:/studies/(?P<study>{_UID})(?:/series/(?P<series>{_UID}))?)?/*")
_LONGEST_UID = 64
_EXAMPLE = "dicomweb://host:port/path/studies/UID/series/UID"


@dataclass(frozen=True)
class DicomwebAddress:
    """A service, a study or a series.

    Attributes:
        service: root of the service, such as "https://host:8042/dicom-web".
        study, series: UIDs, where it names them.
    """

    service: str
    study: str | None = None
    series: str | None = None

    @classmethod
    def parse(cls, text: str, error: type[SegevolutionError] = FormatError) -> "DicomwebAddress":
        """Read an address.

        Raises:
            error: it is none, or holds a password.
        """
        try:
            parts = urlsplit(text)
            host, port = parts.hostname, parts.port
        except ValueError:
            host, port, parts = None, None, urlsplit("")
        if parts.username is not None or parts.password is not None:
            raise error(
                "an address must not hold a name or password, which a shell remembers; set "
                "SEGEVOLUTION_DICOMWEB_USER and SEGEVOLUTION_DICOMWEB_PASSWORD, or use a .netrc file."
            )
        match = _RESOURCE.fullmatch(parts.path)
        wrong = parts.scheme not in _SCHEMES or not host or bool(parts.query or parts.fragment)
        if wrong or match is None or "/studies" in match["service"] or not text.isprintable():
            raise error(f'"{text[:200]}" is no address of a DICOMweb service; write {_EXAMPLE}.')
        if max(len(match[name] or "") for name in ("study", "series")) > _LONGEST_UID:
            raise error(f'"{text[:200]}" holds a UID of more than {_LONGEST_UID} characters; write {_EXAMPLE}.')
        plain = parts.scheme == "dicomweb+http" or (parts.scheme == "dicomweb" and host in _LOOPBACK)
        place = f"[{host}]" if ":" in str(host) else str(host)
        place += f":{port}" if port is not None else ""
        service = f"{'http' if plain else 'https'}://{place}{match['service'].rstrip('/')}"
        return cls(service, match["study"], match["series"])

    @property
    def host(self) -> str:
        """Name and port of the machine, for sentences."""
        return urlsplit(self.service).netloc

    @property
    def is_private(self) -> bool:
        """Whether what is sent can be read by nobody on the way."""
        return self.service.startswith("https:") or urlsplit(self.service).hostname in _LOOPBACK

    @property
    def resource(self) -> str:
        """The whole address, as the web has it."""
        study = f"/studies/{self.study}" if self.study else ""
        return self.service + study + (f"/series/{self.series}" if self.series else "")


def is_dicomweb(text: str) -> bool:
    """Whether a person means an address of a DICOMweb service, and no file."""
    return re.match(r"dicomweb(\+https?)?:", text) is not None


def require_dicomweb(error: type[SegevolutionError] = FormatError) -> None:
    """Raise `error` where the extra [dicom] is absent."""
    if find_spec("dicomweb_client") is None:
        raise error('DICOMweb needs more packages; install them with: pip install "segevolution[dicom]".')
