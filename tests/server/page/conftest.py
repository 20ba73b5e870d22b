"""A server in a process of its own, the page in headless Chromium, and one patient on several grids."""

import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from segevolution.data.synthesis.patients import simulate_case
from segevolution.imaging.case import Case
from segevolution.imaging.formats import write_volume
from segevolution.imaging.volume import Volume

for package in ("fastapi", "uvicorn", "python_multipart"):
    pytest.importorskip(package, reason="the extra [server] is not installed")
playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed; see make test-server")

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
ARGUMENTS = ["--headless=new", "--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
PATIENCE = 120_000  # milliseconds


@pytest.fixture(scope="session")
def server_url() -> Iterator[str]:
    """`segevolution serve` with the shipped models on a free port."""
    command = [sys.executable, "-m", "segevolution", "serve", "--port", "0", "--device", "cpu"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        lines = []
        for line in process.stderr:
            lines.append(line)
            found = re.search(r"http://127\.0\.0\.1:\d+", line)
            if found:
                yield found.group()
                break
        else:
            pytest.fail(f"the server did not begin: {''.join(lines)}")
        process.terminate()


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    if CHROMIUM is None:
        pytest.skip("Chromium is not installed")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


class Page:
    """The page, its view of 1280 x 720 pixels, and what it asked for.

    Attributes:
        tab: playwright's page.
        requests: addresses, in order.
        faults: what the page threw or its console called an error.
    """

    def __init__(self, tab: Any, url: str) -> None:
        self.tab, self.url = tab, url
        self.requests: list[str] = []
        self.faults: list[str] = []
        tab.on("request", lambda request: self.requests.append(request.url))
        tab.on("pageerror", lambda error: self.faults.append(str(error)))
        tab.set_default_timeout(PATIENCE)
        tab.goto(url)
        tab.wait_for_selector("body[data-started]")

    def open(self, path: Path, modality: str | None = "CT") -> None:
        """Open a file, as a person does."""
        self.tab.set_input_files("#file", str(path))
        self.tab.wait_for_selector("body[data-ready]")
        self.wait()
        if modality is not None:
            before = self.tab.get_attribute("body", "data-ready")
            self.tab.select_option("#modality", modality)
            self.tab.wait_for_selector(f'body[data-ready]:not([data-ready="{before}"])')
            self.wait()

    def wait(self) -> None:
        """Until nothing is asked any more."""
        self.tab.evaluate("() => new Promise((done) => setTimeout(done, 30))")
        self.tab.wait_for_selector('body[data-pending="0"]')

    def place(self, voxel: Any, plane: int = 0) -> tuple[float, float]:
        """Where a voxel of the file lies in the window, once the crosshair is moved to its slice."""
        script = """([voxel, plane]) => {
            const { view } = segevolution.stage;
            view.setCrosshair(voxel);
            const spot = view.project(view.grid.toMm(voxel)).find((each) => each.plane === plane);
            const { left, top } = view.canvas.getBoundingClientRect();
            return [spot.x + left, spot.y + top];
        }"""
        x, y = self.tab.evaluate(script, [[int(index) for index in voxel], plane])
        return x, y

    def click(self, voxel: Any, plane: int = 0, *, take_away: bool = False) -> None:
        """Click on a voxel of the file and wait for the answer."""
        x, y = self.place(voxel, plane)
        if take_away:
            self.tab.keyboard.down("Control")
        self.tab.mouse.click(x, y)
        if take_away:
            self.tab.keyboard.up("Control")
        self.wait()

    def drag(self, start: tuple[float, float], *ends: tuple[float, float]) -> None:
        self.tab.mouse.move(*start)
        self.tab.mouse.down()
        for end in ends:
            self.tab.mouse.move(*end, steps=3)
        self.tab.mouse.up()
        self.wait()

    def ask(self, name: str) -> None:
        """Segment by a name, with the keyboard."""
        self.tab.keyboard.press("/")
        self.tab.keyboard.type(name)
        self.tab.keyboard.press("Enter")
        self.wait()

    def structure(self) -> dict[str, Any]:
        """The active structure as the server describes it."""
        return dict(
            self.tab.evaluate("() => { const { mask, ...rest } = segevolution.workspace.active; return rest; }")
        )

    def shown(self) -> np.ndarray:
        """The label map (X, Y, Z) that the slices show."""
        script = "() => [segevolution.stage.view.grid.shape, [...segevolution.stage.view.labels].join('')]"
        shape, digits = self.tab.evaluate(script)
        return np.frombuffer(digits.encode(), np.uint8).reshape(shape, order="F") - ord("0")

    def save(self, form: str, folder: Path) -> Path:
        """Save the label map by the menu."""
        self.tab.click("#save")
        with self.tab.expect_download() as download:
            self.tab.click(f"#save-menu button:has-text('{form}')")
        path = folder / download.value.suggested_filename
        download.value.save_as(path)
        self.wait()
        return path


@contextmanager
def new_page(browser: Any, url: str) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1280, "height": 720}, accept_downloads=True)
    page = Page(context.new_page(), url)
    yield page
    context.close()
    assert not page.faults


@pytest.fixture
def page(browser: Any, server_url: str) -> Iterator[Page]:
    with new_page(browser, server_url) as page:
        yield page


@pytest.fixture(scope="session")
def patient() -> Case:
    """A made CT of a torso in RAS, with the truth."""
    return simulate_case(7, spacing=(3.5, 3.5, 4.0))


Write = Callable[[Volume], Path]


@pytest.fixture
def written(tmp_path: Path) -> Write:
    """Write a volume as NIfTI."""

    def write(volume: Volume) -> Path:
        path = tmp_path / "scan.nii.gz"
        write_volume(volume, path)
        return path

    return write
