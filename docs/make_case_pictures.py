"""Draw images/mri_good.png and images/mri_bad.png: answers to text on MRI, before and after.

    python docs/make_case_pictures.py runs/rivals FOLDER/mr_abdomen [METHOD]

The three best and the two worst CHAOS patients by the Dice of the mixture as `adapt` trains it (METHOD in the folder of
the study `rivals`, `adapt` unless said), and the test scan of another clinic beside the worst. Each is asked by text
alone: segvol-mini as it was, the network that answers MRI, and the mixture of the fold that did not learn from the
patient.
"""

import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib import rc_context
from matplotlib.backends.backend_agg import FigureCanvasAgg
from PIL import Image

import segevolution as sev
from segevolution.data.store import Store
from segevolution.evaluation.plots.cases import draw_case
from segevolution.evaluation.plots.style import STYLE
from segevolution.imaging.case import Case
from segevolution.metrics import dice

_PLACE = Path(__file__).parent / "images"
_ORGANS = ("liver", "right kidney", "left kidney", "spleen")
_BASE = "segvol-mini-3"
_DPI, _COLOURS = 70, 256


def main(study: Path, elsewhere: Path, method: str = "adapt") -> None:
    """Both pictures, and the Dice of each answer on the console."""
    table = pd.read_parquet(study / "results.parquet")
    asked = table[(table["family"] == method) & (table["prompt"] == "text") & (table["dataset"] == "chaos")]
    ranked = asked.groupby(["case", "run"])["dice"].mean().sort_values(ascending=False)
    store = Store.open(study / "data" / "chaos")
    chaos = [(store.read(case), study / "models" / run / "adapter") for case, run in ranked.index]
    other = (_other(elsewhere), chaos[0][1])
    for name, cases in (("mri_good", chaos[:3]), ("mri_bad", [*chaos[-2:], other])):
        pictures = [_picture(case, adapter) for case, adapter in cases]
        width = max(picture.width for picture in pictures)
        sheet = Image.new("RGB", (width, sum(picture.height for picture in pictures)))
        top = 0
        for picture in pictures:
            sheet.paste(picture, (0, top))
            top += picture.height
        # An octree keeps the colours of the thin lines apart, which a median cut merges.
        few = sheet.quantize(_COLOURS, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
        few.save(_PLACE / f"{name}.png", optimize=True)


def _other(folder: Path) -> Case:
    """The test scan with the organs that CHAOS labels, named as CHAOS does."""
    volume = sev.read(str(folder / "image.nii.gz"), modality="MRI")
    labels = sev.read_labels(folder / "labels.nii.gz", like=volume)
    numbers = {
        name.replace("_", " "): int(number) for number, name in json.loads((folder / "labels.json").read_text()).items()
    }
    sides = {f"{side} kidney": f"kidney {side}" for side in ("right", "left")}
    structures = {name: (numbers[sides.get(name, name)],) for name in _ORGANS}
    return Case("another clinic", "another clinic", "mr_abdomen", volume, np.asarray(labels.array), structures)


def _picture(case: Case, adapter: Path) -> Image.Image:
    """One case with its three answers."""
    organs = [name for name in _ORGANS if name in case.structures]
    answers = {}
    for title, network in (
        ("segvol-mini", sev.load("segvol-mini")),
        (_BASE, sev.load(_BASE)),
        ("five patients", sev.load(_BASE, adapter=adapter)),
    ):
        session = sev.Session(network, case.volume)
        answers[title] = {name: session.segment(text=name).mask for name in organs}
        scores = {name: round(float(dice(answers[title][name], case.mask(name))), 2) for name in organs}
        print(case.name, title, scores, f"mean {np.mean(list(scores.values())):.2f}")
    with rc_context(STYLE):
        figure = draw_case(case, answers, organs)
        figure.set_dpi(_DPI)
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
    return Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), *sys.argv[3:4])
