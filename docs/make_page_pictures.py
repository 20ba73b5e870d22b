"""Pictures of one annotation on the page, and its numbers: five clicks on a real MRI, by the shipped expert for MRI.

python docs/make_page_pictures.py IMAGE LABELS VALUE NAME writes docs/images/page_*.png and prints Dice after each
click. Each click falls on the voxel that lies deepest in what is missing or too much, as a careful person would choose.
Needs the extra [server], playwright and Chromium.
"""

import argparse
import io
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from playwright.sync_api import Page, sync_playwright
from scipy.ndimage import distance_transform_edt

from segevolution.imaging.formats import read_labels
from segevolution.metrics import dice

IMAGES = Path(__file__).with_name("images")
ARGUMENTS = ["--headless=new", "--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
CLICKS, SHOWN = 5, (1, 3, 5)
PLACE = """([voxel]) => {
    const { view } = segevolution.stage;
    view.setCrosshair(voxel);
    const { x, y } = view.project(view.grid.toMm(voxel))[0];
    const { left, top } = view.canvas.getBoundingClientRect();
    return [x + left, y + top];
}"""
MASK = "() => { const all = []; segevolution.workspace.active.mask.forEach((v) => all.push([...v])); return all; }"


def main() -> None:
    """Annotate the image that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("image", type=Path)
    parser.add_argument("labels", type=Path)
    parser.add_argument("value", type=int)
    parser.add_argument("name")
    given = parser.parse_args()
    labels = read_labels(given.labels)
    truth = labels.array == given.value
    command = [sys.executable, "-m", "segevolution", "serve", "--port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as server, sync_playwright() as driver:
        assert server.stderr is not None
        url = next(found.group() for line in server.stderr if (found := re.search(r"http://127\.0\.0\.1:\d+", line)))
        browser = driver.chromium.launch(executable_path=shutil.which("chromium"), args=ARGUMENTS)
        page = browser.new_page(viewport={"width": 1280, "height": 720})
        page.set_default_timeout(120_000)
        annotate(page, url, given.image, given.name, truth, labels.grid.spacing)
        browser.close()
        server.terminate()


def annotate(page: Page, url: str, image: Path, name: str, truth: np.ndarray, spacing: Any) -> None:
    """Open, click five times, compare."""
    page.goto(url)
    page.wait_for_selector("body[data-started]")
    page.set_input_files("#file", image)
    page.wait_for_selector("body[data-ready]")
    before = page.get_attribute("body", "data-ready")
    page.select_option("#modality", "MRI")
    page.wait_for_selector(f'body[data-ready]:not([data-ready="{before}"])')
    page.keyboard.press("n")
    wait(page)
    page.fill("#structures .name", name)
    page.keyboard.press("Enter")
    wait(page)
    mask = np.zeros_like(truth)
    for click in range(1, CLICKS + 1):
        wrong = mask ^ truth
        voxel = np.unravel_index(distance_transform_edt(wrong, sampling=spacing).argmax(), truth.shape)
        x, y = page.evaluate(PLACE, [[int(index) for index in voxel]])
        positive = bool(truth[voxel])
        page.mouse.move(x, y)
        if not positive:
            page.keyboard.down("Control")
        page.mouse.click(x, y)
        page.keyboard.up("Control")
        wait(page)
        mask = np.zeros_like(truth)
        mask[tuple(np.array(page.evaluate(MASK), int).reshape(-1, 3).T)] = True
        print(f"click {click}, {'on' if positive else 'off'} the structure: Dice {dice(mask, truth):.2f}")
        if click in SHOWN:
            keep(page, f"page_click_{click}")
    page.click("text=Go to")
    wait(page)
    page.keyboard.press("c")
    page.wait_for_selector(".comparing #right-caption:has-text('Dice')")
    wait(page)
    keep(page, "page_compare")
    print(page.inner_text("#left-caption"), "|", page.inner_text("#right-caption"))


def wait(page: Page) -> None:
    """Until nothing is asked any more, and the 3-D view has followed."""
    page.wait_for_timeout(100)
    page.wait_for_selector('body[data-pending="0"]')
    page.wait_for_timeout(4000)


def keep(page: Page, name: str) -> None:
    """Write what the page shows, small."""
    picture = Image.open(io.BytesIO(page.screenshot())).convert("RGB").resize((1024, 576), Image.Resampling.LANCZOS)
    picture.quantize(256, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE).save(
        IMAGES / f"{name}.png", optimize=True
    )


if __name__ == "__main__":
    main()
