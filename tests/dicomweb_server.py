"""A small DICOMweb service of files in memory: WADO-RS of a series, QIDO-RS of studies, STOW-RS; as PS3.18 has them.

It stands in where no archive can be had; `tests/server/test_orthanc.py` asks the same of a real one.
"""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from email.parser import BytesParser
from email.policy import HTTP
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path
from threading import Thread
from typing import Any

import pydicom

_BOUNDARY = "between-instances"


class Archive:
    """What a service holds, and how it is to behave.

    Attributes:
        files: (study, series) -> files as they were stored.
        requests: "METHOD path" of each request.
        authorization: the header that is asked for; None lets everybody in.
        status: answered to everything, if set.
        broken: what is sent in place of files, if set.
        refuses: whether instances are not taken.
    """

    def __init__(self) -> None:
        self.files: dict[tuple[str, str], list[bytes]] = {}
        self.requests: list[str] = []
        self.authorization: str | None = None
        self.status: int | None = None
        self.broken: bytes | None = None
        self.refuses = False
        self.address = ""

    def add(self, folder: Path) -> None:
        for file in sorted(folder.iterdir()):
            self.keep(file.read_bytes())

    def keep(self, content: bytes) -> pydicom.Dataset:
        data = pydicom.dcmread(BytesIO(content))
        self.files.setdefault((data.StudyInstanceUID, data.SeriesInstanceUID), []).append(content)
        return data


class _Handler(BaseHTTPRequestHandler):
    archive: Archive

    def do_GET(self) -> None:
        if not self._let_in():
            return None
        path = self.path.partition("?")[0]
        if match := re.fullmatch(r"/dicom-web/studies/([0-9.]+)/series/([0-9.]+)", path):
            files = self.archive.files.get((match[1], match[2]))
            if files is None:
                return self._answer(404, b"")
            if not files:
                return self._answer(204, b"")
            head = f"--{_BOUNDARY}\r\nContent-Type: application/dicom\r\n\r\n".encode()
            body = b"".join(head + (self.archive.broken or content) + b"\r\n" for content in files)
            kind = f'multipart/related; type="application/dicom"; boundary={_BOUNDARY}'
            return self._answer(200, body + f"--{_BOUNDARY}--".encode(), kind)
        if path == "/dicom-web/studies":
            studies = [{"0020000D": {"vr": "UI", "Value": [study]}} for study, _ in self.archive.files]
            return self._answer(200, json.dumps(studies).encode(), "application/dicom+json")
        return self._answer(404, b"")

    def do_POST(self) -> None:
        body = self._body()
        if not self._let_in():
            return None
        if self.path != "/dicom-web/studies":
            return self._answer(404, b"")
        kind = self.headers["Content-Type"]
        message = BytesParser(policy=HTTP).parsebytes(f"Content-Type: {kind}\r\n\r\n".encode() + body)
        parts = [part.get_payload(decode=True) for part in message.iter_parts()]
        answer = pydicom.Dataset()
        item = pydicom.Dataset()
        if self.archive.refuses:
            item.FailureReason = 0xA700
            answer.FailedSOPSequence = [item]
        else:
            for part in parts:
                data = self.archive.keep(part)
                item.ReferencedSOPInstanceUID = data.SOPInstanceUID
            answer.ReferencedSOPSequence = [item]
        status = 202 if self.archive.refuses else 200
        return self._answer(status, answer.to_json().encode(), "application/dicom+json")

    def _let_in(self) -> bool:
        self.archive.requests.append(f"{self.command} {self.path}")
        if self.archive.status is not None:
            self._answer(self.archive.status, b"")
            return False
        if self.archive.authorization is not None and self.headers["Authorization"] != self.archive.authorization:
            self._answer(401, b"")
            return False
        return True

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        body = b""
        while length := int(self.rfile.readline(), 16):
            body += self.rfile.read(length)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def _answer(self, status: int, body: bytes, kind: str = "text/plain") -> None:
        self.send_response(status)
        if status != 204:
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Says nothing."""


@contextmanager
def serving() -> Iterator[Archive]:
    """A running service; `address` is what a person types for it."""
    archive = Archive()
    handler = type("Handler", (_Handler,), {"archive": archive})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    archive.address = f"dicomweb://127.0.0.1:{server.server_port}/dicom-web"
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield archive
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
