"""The page in the browser: how long a new answer takes to be drawn, and the first answer after its click.

Goals: drawn in under 100 ms at 256 x 256 x 160; the first answer to a click, on a volume as large as a torso CT at
3 mm, within 2 s on two cores.

Baseline of drawing: NiiVue's own way, which renders the whole label volume into colours anew (`refreshLayers`), on
the same canvas, in turns. Both end with a pixel read back, so that the drawing is done and not only ordered. Baseline
of the first answer: what the server says that it took. Processor seconds are those of the browser and of the server
together; no graphics card is used.
"""

import math
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from measuring import arguments, show
from playwright.sync_api import sync_playwright

from segevolution.imaging.formats import write_volume
from segevolution.imaging.grid import Grid
from segevolution.imaging.volume import Volume

CHROMIUM = ["--headless=new", "--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
IDLE = 2_500  # milliseconds without work after which the server has warmed up, also where others keep it waiting
TICKS = os.sysconf("SC_CLK_TCK")
NIIVUE, OURS = "NiiVue's refreshLayers", "the page: the box that changed"
SERVER, CLICK = "the server's own seconds", "first click, until it is drawn"

# A ball of another radius each time, taken as if the server had sent it; or NiiVue's way to show the same label map.
PREPARE = """async () => {
    const { encodeRuns } = await import("/js/masks.js");
    const { niftiFile } = await import("/js/nifti.js");
    const { workspace, stage } = segevolution;
    await workspace.add("ball");
    const { shape } = workspace.grid;
    const middle = shape.map((length) => length >> 1);
    const ball = (radius) => {
        const side = 2 * radius;
        const voxels = new Uint8Array(side ** 3);
        let place = 0;
        for (let z = 0; z < side; z += 1) for (let y = 0; y < side; y += 1) for (let x = 0; x < side; x += 1) {
            voxels[place++] = (x - radius) ** 2 + (y - radius) ** 2 + (z - radius) ** 2 < radius ** 2 ? 1 : 0;
        }
        return { box: middle.map((at) => [at - radius, at + radius]), encoding: "runs", runs: encodeRuns(voxels) };
    };
    const most = Math.min(...middle) - 1;
    window.balls = [most >> 1, Math.floor(0.75 * most), most].map(ball);
    stage.surfaces.update = () => {};
    const { NVImage } = window.niivue;
    const file = niftiFile(workspace.grid, "uint8", stage.view.labels);
    window.layer = await NVImage.loadFromUrl({ url: "labels.nii", name: "labels.nii", buffer: file });
    layer.setColormapLabel({ R: [0, 255], G: [0, 0], B: [0, 0], A: [0, 255], I: [0, 1] });
}"""
DRAW = """([ours, round]) => {
    const { workspace, stage } = segevolution;
    const { nv } = stage.view;
    const ball = balls[round % balls.length];
    const start = performance.now();
    if (ours) {
        workspace.take([{ structure: { ...workspace.active }, mask: ball }]);
    } else {
        workspace.writeLabels(stage.view.labels, workspace.active.mask.apply(ball));
        const { overlayTexture } = nv;
        layer.img.set(stage.view.labels);
        nv.refreshLayers(layer, 1);
        nv.gl.deleteTexture(nv.overlayTexture);
        nv.overlayTexture = overlayTexture;
        nv.drawScene();
    }
    nv.gl.readPixels(0, 0, 1, 1, nv.gl.RGBA, nv.gl.UNSIGNED_BYTE, new Uint8Array(4));
    return performance.now() - start;
}"""


@dataclass(frozen=True)
class Row:
    """One piece of work; seconds are medians, and `least` is the shortest."""

    work: str
    seconds: float
    least: float
    cpu_seconds: float
    ratio: float


def processor_seconds(parents: list[int]) -> float:
    """Of processes and all that they started, so far, less this one's, which counts."""
    known: dict[int, tuple[int, float]] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                fields = (folder / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()
            except OSError:
                continue  # it has just ended
            known[int(folder.name)] = int(fields[1]), (int(fields[11]) + int(fields[12])) / TICKS
    total = 0.0
    for number, (parent, seconds) in known.items():
        ancestors = {number}
        while parent in known and parent not in ancestors:
            ancestors.add(parent)
            parent = known[parent][0]
        total += seconds if ancestors & set(parents) and number != os.getpid() else 0.0
    return total


def made_scan(shape: tuple[int, int, int], folder: Path) -> Path:
    """Noise, as NIfTI."""
    array = np.random.default_rng(0).normal(0, 100, shape).astype(np.int16)
    path = folder / "scan.nii"
    write_volume(Volume(array, Grid.oriented(shape, (1.0, 1.0, 1.5), "LPS")), path, force=True)
    return path


def opened(page: Any, url: str, scan: Path) -> None:
    """Show a file on a new page."""
    page.goto(url)
    page.wait_for_selector("body[data-started]")
    page.set_input_files("#file", str(scan))
    page.wait_for_selector("body[data-ready]")


def drawing(page: Any, parents: list[int], rounds: int) -> list[Row]:
    """Ours and NiiVue's, in turns."""
    page.evaluate(PREPARE)
    walls: dict[bool, list[float]] = {True: [], False: []}
    cpus: dict[bool, list[float]] = {True: [], False: []}
    for number in range(rounds + 1):
        for ours in (False, True):
            before = processor_seconds(parents)
            wall = page.evaluate(DRAW, [ours, number]) / 1000
            if number:  # the first round compiles shaders
                walls[ours].append(wall)
                cpus[ours].append(processor_seconds(parents) - before)
    base = statistics.median(walls[False])
    return [row(name, walls[ours], cpus[ours], base) for ours, name in ((False, NIIVUE), (True, OURS))]


def first_answers(page: Any, url: str, scan: Path, parents: list[int], rounds: int) -> list[Row]:
    """A click in the middle of a volume that was just opened, once its warming up is over."""
    walls, own, cpus = [], [], []
    for _ in range(rounds):
        opened(page, url, scan)
        before = processor_seconds(parents)
        page.wait_for_timeout(IDLE)
        while (now := processor_seconds(parents)) - before > 0.03:
            before = now
            page.wait_for_timeout(IDLE)
        box = page.locator("#marks").bounding_box()
        page.mouse.click(box["x"] + 0.2 * box["width"], box["y"] + 0.25 * box["height"])
        page.wait_for_selector("#timing:has-text('answered')")
        timing = page.evaluate("() => segevolution.workspace.timing")
        cpus.append(processor_seconds(parents) - now)
        walls.append(timing["whole"] / 1000)
        own.append(timing["server"])
    base = statistics.median(own)
    return [row(SERVER, own, [], base), row(CLICK, walls, cpus, base)]


def row(work: str, walls: list[float], cpus: list[float], base: float) -> Row:
    """Medians, and the ratio to the baseline's median; processor seconds are the mean, since their clock is coarse."""
    mean = statistics.mean(cpus) if cpus else math.nan
    return Row(work, statistics.median(walls), min(walls), mean, statistics.median(walls) / base)


def main() -> None:
    """Measure both."""
    parser = arguments(__doc__, rounds=9)
    parser.add_argument(
        "--scan", type=Path, help="a CT for the first answer, such as one of a torso at 3 mm; else noise"
    )
    options = parser.parse_args()
    shapes = ((40, 36, 24), (40, 36, 24)) if options.toy else ((256, 256, 160), (122, 101, 112))
    command = [sys.executable, "-m", "segevolution", "serve", "--port", "0", "--modality", "CT", "--device", "cpu"]
    environment = {**os.environ, "OMP_NUM_THREADS": str(options.threads)}
    with (
        tempfile.TemporaryDirectory() as name,
        subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as server,
        sync_playwright() as driver,
    ):
        assert server.stderr is not None
        url = next(found.group() for line in server.stderr if (found := re.search(r"http://127\.0\.0\.1:\d+", line)))
        browser = driver.chromium.launch(executable_path=shutil.which("chromium"), args=CHROMIUM)
        parents = [os.getpid()]
        page = browser.new_page(viewport={"width": 1280, "height": 720})
        page.set_default_timeout(300_000)
        opened(page, url, made_scan(shapes[0], Path(name)))
        rows = drawing(page, parents, options.rounds)
        scan = options.scan or made_scan(shapes[1], Path(name))
        rows += first_answers(page, url, scan, parents, min(options.rounds, 5))
        browser.close()
        server.terminate()
    show(rows, as_json=options.json, title="The page (goals: drawn in 0.1 s, first answer in 2 s)")


if __name__ == "__main__":
    main()
