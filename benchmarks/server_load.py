"""Load of `segevolution serve`: many sessions on one process, every answer held against the Python session.

Half of the sessions speak the server's own API, half nnInteractive's protocol. Each follows one of a few scripts:
dialogues of five clicks on random voxels, some off the structure, some taken back, then begun anew. The expected
answers are made first, by Sessions in this process, one prompt at a time; they are the baseline, too.

Its exit status is 1 where an answer differs, a request fails, or a session is left.
"""

import hashlib
import json
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, get_args

import httpx
import nibabel as nib
import numpy as np
from measuring import arguments, begin, show

from segevolution.data.synthesis.patients import simulate_case
from segevolution.imaging.grid import Grid
from segevolution.imaging.volume import Volume
from segevolution.inference.load import load
from segevolution.inference.session import Session
from segevolution.models.checkpoints import save_model
from segevolution.models.hub import DEFAULT
from segevolution.models.spec import Windows
from segevolution.models.tiny import TinyBackbone, TinyConfig
from segevolution.server.nninteractive.packed_array import pack_array, unpack_array
from segevolution.server.runs import decode_mask
from segevolution.vocabulary import Modality

Step = tuple[str, tuple[int, int, int], bool]  # what ("point", "undo", "reset"), where, positive
SCRIPTS, CLICKS = 4, 5
TOY_SPACING = 8.0  # millimetres


@dataclass(frozen=True)
class Row:
    """What one run counted.

    Attributes:
        prompts, errors, differences: answers, requests that failed, and answers that are not the Python session's.
        median_seconds, late_seconds: of a prompt while all sessions ask at once; the median and the 99th percentile.
        a_second: prompts that the process answered.
        alone_seconds: the median of a prompt in a Python session that is alone.
        ratio: time a prompt takes of the process, over alone_seconds; 1 = serving costs nothing.
        early_megabytes, end_megabytes: of the process in memory, in the second quarter of the run and after its end.
        sessions_left: when all clients have gone.
    """

    sessions: int
    prompts: int
    errors: int
    differences: int
    median_seconds: float
    late_seconds: float
    a_second: float
    alone_seconds: float
    ratio: float
    early_megabytes: float
    end_megabytes: float
    sessions_left: int


@dataclass
class Tally:
    """What all clients saw so far."""

    seconds: list[float] = field(default_factory=list)
    differences: int = 0
    errors: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)


def script(number: int, prompts: int, shape: tuple[int, int, int]) -> list[Step]:
    rng = np.random.default_rng(number)
    steps: list[Step] = []
    for prompt in range(prompts):
        place = tuple(int(rng.integers(side // 4, 3 * side // 4)) for side in shape)
        steps.append(("point", place, prompt % CLICKS == 0 or rng.random() < 0.6))
        if prompt % CLICKS == 3:
            steps.append(("undo", place, True))
        if prompt % CLICKS == CLICKS - 1:
            steps.append(("reset", place, True))
    return steps


def digest(mask: np.ndarray) -> str:
    return hashlib.blake2b(np.packbits(mask).tobytes(), digest_size=16).hexdigest()


def expected(session: Session, steps: list[Step]) -> tuple[list[str], list[float]]:
    empty = np.zeros(session.volume.grid.shape, bool)
    digests, seconds = [], []
    for what, place, positive in steps:
        begun = time.perf_counter()
        if what == "point":
            mask = session.add_point(place, positive=positive).mask
            seconds.append(time.perf_counter() - begun)
        elif what == "undo":
            answer = session.undo()
            mask = empty if answer is None else answer.mask
        else:
            session.reset()
            mask = empty
        digests.append(digest(mask))
    return digests, seconds


class OwnClient:
    """A session of the server's own API."""

    def __init__(self, url: str, volume: Volume, content: bytes) -> None:
        self.http = httpx.Client(base_url=url, timeout=600)
        reply = self.http.post(
            "/api/volumes",
            params={"name": "image.nii", "modality": "CT"},
            content=content,
            headers={"Content-Type": "application/octet-stream"},
        )
        session = self.http.post(
            "/api/sessions", json={"volume": reply.raise_for_status().json()["id"], "adapter": "base"}
        )
        self.token = session.raise_for_status().json()["id"]
        self.address = f"/api/sessions/{self.token}/structures/1"
        self.http.post(f"/api/sessions/{self.token}/structures", json={}).raise_for_status()
        self.mask = np.zeros(volume.grid.shape, bool)

    def step(self, what: str, place: tuple[int, int, int], positive: bool) -> None:
        """Ask, and show what changed."""
        if what == "point":
            body = {"kind": "point", "position": place, "positive": positive}
            reply = self.http.post(f"{self.address}/prompts", json=body)
        else:
            reply = self.http.post(f"{self.address}/{what}")
        mask = reply.raise_for_status().json()["mask"]
        if mask is not None:
            inside = tuple(slice(*pair) for pair in mask["box"])
            self.mask[inside] = decode_mask(mask["box"], mask["runs"], self.mask.shape)[inside]

    def close(self) -> None:
        """End the session."""
        self.http.delete(f"/api/sessions/{self.token}").raise_for_status()


class ProtocolClient:
    """A session of nnInteractive's protocol."""

    def __init__(self, url: str, volume: Volume, content: bytes) -> None:
        self.http = httpx.Client(base_url=url, timeout=600)
        self.http.headers["X-Lease-Token"] = self.http.post("/claim").raise_for_status().json()["lease_token"]
        meta = {"image_properties": {"spacing": volume.grid.spacing[::-1]}}
        self.http.post(
            "/set_image", content=pack_array(volume.array.T[None]), headers={"X-Meta": json.dumps(meta)}
        ).raise_for_status()
        self.mask = np.zeros(volume.grid.shape, bool)

    def step(self, what: str, place: tuple[int, int, int], positive: bool) -> None:
        """Ask, and show what changed."""
        if what == "reset":
            self.http.post("/reset_interactions", json={}).raise_for_status()
            self.mask[:] = False
            return
        body = {"coordinates": place[::-1], "include_interaction": positive}
        reply = (
            self.http.post("/undo", json={}) if what == "undo" else self.http.post("/add_point_interaction", json=body)
        )
        box = json.loads(reply.raise_for_status().headers["X-Meta"])["bbox"]
        if box is not None:
            inside = tuple(slice(*pair) for pair in box[::-1])
            self.mask[inside] = unpack_array(reply.content, 1 << 32).T > 0

    def close(self) -> None:
        """End the session."""
        self.http.post("/release").raise_for_status()


def resident(process: int) -> float:
    """Megabytes that a process has in memory."""
    text = Path(f"/proc/{process}/status").read_text(encoding="utf-8")
    return int(re.search(r"VmRSS:\s+(\d+)", text)[1]) / 1024  # type: ignore[index]


def follow(make: Callable[[], Any], steps: Sequence[Step], wanted: Sequence[str], tally: Tally) -> None:
    """One client, from its first request to its last."""
    try:
        client = make()
        for (what, place, positive), right in zip(steps, wanted, strict=True):
            begun = time.perf_counter()
            client.step(what, place, positive)
            seconds = time.perf_counter() - begun
            with tally.lock:
                tally.seconds.extend([seconds] if what == "point" else [])
                tally.differences += digest(client.mask) != right
        client.close()
    except Exception as error:
        with tally.lock:
            tally.errors.append(repr(error))


def made_volume(spacing: float) -> Volume:
    """A made CT in the orientation that nnInteractive's clients are taken to send."""
    made = simulate_case(7, modality=Modality.CT, sequence="portal", spacing=(spacing,) * 3).volume
    grid = Grid.oriented(made.grid.shape, made.grid.spacing, "LPS")
    return Volume(np.ascontiguousarray(made.array), grid, Modality.CT, "image")


def start(model: str, windows: Windows | None, sessions: int, threads: int) -> tuple[subprocess.Popen[str], str]:
    """A server process, and where it listens."""
    command = [sys.executable, "-m", "segevolution", "serve", "--port", "0", "--model", model, "--device", "cpu"]
    command += ["--modality", "CT", "--sessions", str(sessions), "--default", "none", "--idle-minutes", "60"]
    command += ["--liveness-seconds", "3600", *(["--windows", windows] if windows else [])]
    server = subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, env=os.environ | {"OMP_NUM_THREADS": str(threads)}
    )
    assert server.stderr is not None
    said = server.stderr.readline()
    found = re.search(r"http://\S+", said)
    if found is None:
        raise SystemExit(f"the server did not start: {said}{server.stderr.read()}")
    return server, found[0]


def measure(
    model: str, sessions: int, prompts: int, *, windows: Windows | None = None, spacing: float = 5.0, threads: int = 1
) -> Row:
    """One run."""
    volume = made_volume(spacing)
    content = nib.Nifti1Image(volume.array, volume.grid.affine).to_bytes()
    network = load(model, device="cpu")
    scripts = [script(number, prompts, volume.grid.shape) for number in range(min(SCRIPTS, sessions))]
    answers = [expected(Session(network, volume, windows=windows), steps) for steps in scripts]
    alone = float(np.median([seconds for _, each in answers for seconds in each]))
    server, url = start(model, windows, sessions, threads)
    tally, memory = Tally(), []
    clients = []
    for number in range(sessions):
        kind = OwnClient if number % 2 else ProtocolClient
        wanted = answers[number % len(scripts)][0]
        make = partial(kind, url, volume, content)
        steps = scripts[number % len(scripts)]
        clients.append(threading.Thread(target=follow, args=(make, steps, wanted, tally)))
    begun = time.perf_counter()
    for client in clients:
        client.start()
    while any(client.is_alive() for client in clients):
        memory.append((len(tally.seconds) / (sessions * prompts), resident(server.pid)))
        time.sleep(0.2)
    wall = time.perf_counter() - begun
    left = httpx.get(f"{url}/api/server").json()["sessions"]
    after = resident(server.pid)
    server.terminate()
    server.communicate()
    for error in tally.errors[:3]:
        print(error, file=sys.stderr)
    seconds = np.array(tally.seconds or [np.nan])
    early = [size for share, size in memory if 0.25 <= share < 0.5]
    return Row(
        sessions,
        len(tally.seconds),
        len(tally.errors),
        tally.differences,
        float(np.median(seconds)),
        float(np.quantile(seconds, 0.99)),
        len(tally.seconds) / wall,
        alone,
        wall / max(1, len(tally.seconds)) / alone,
        float(np.mean(early)) if early else float("nan"),
        after,
        left,
    )


def main() -> int:
    parser = arguments(__doc__, rounds=None)
    parser.add_argument("--sessions", type=int, default=20)
    parser.add_argument("--prompts", type=int, default=200, help="of each session")
    parser.add_argument("--model", default=DEFAULT)
    parser.add_argument("--windows", choices=get_args(Windows), help="how to zoom in; default: as the model prefers")
    parser.add_argument("--spacing", type=float, default=5.0, help="millimetres of the made volume")
    options = parser.parse_args()
    begin(options.threads)
    with TemporaryDirectory() as folder:
        model, spacing = options.model, options.spacing
        if options.toy:
            model, spacing = str(Path(folder) / "tiny"), TOY_SPACING
            save_model(TinyBackbone(TinyConfig()), Path(model))
        row = measure(
            model,
            options.sessions,
            options.prompts,
            windows=options.windows,
            spacing=spacing,
            threads=options.threads,
        )
    show([row], as_json=options.json, title=f"{row.sessions} sessions on one server process")
    whole = row.prompts == options.sessions * options.prompts
    return int(bool(row.errors or row.differences or row.sessions_left or not whole))


if __name__ == "__main__":
    sys.exit(main())
