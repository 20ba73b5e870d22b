"""Write images/NAME_curve.png and reference/NAME_log.csv and NAME_run.json from the folder of a training run.

    python docs/make_mini_log.py RUN [NAME]        NAME is segvol_mini unless said

The log holds one line every 100 steps of a stage, its training losses averaged, and each validation.
"""

import shutil
import sys
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

_PLACE = Path(__file__).parent
_EVERY = 100
_DICE = "validation/dice_"
_COLOURS = {"text": "#2176ae", "point": "#d1495b", "box": "#66a182", "text+box": "#222222"}


def main(run: Path, name: str = "segvol_mini") -> None:
    """The log of all stages, its picture, and what the run was."""
    log = pd.concat([_stage(folder) for folder in sorted(run.glob("stage-*"))], ignore_index=True)
    log.to_csv(_PLACE / "reference" / f"{name}_log.csv", index=False, float_format="%.4f")

    shutil.copyfile(run / "manifest.json", _PLACE / "reference" / f"{name}_run.json")
    _draw(log, name)


def _stage(folder: Path) -> pd.DataFrame:
    """Steps of one stage, of all its calls; a step that was done again after a stop counts as it was done last."""
    calls = sorted(folder.glob("curves/*/metrics.csv"), key=lambda path: int(path.parent.name))
    rows = pd.concat([pd.read_csv(path) for path in [*folder.glob("metrics.csv"), *calls]]).drop(columns="epoch")
    rows = rows.groupby("step").last().reset_index()  # the last value of each column that is there
    train = [name for name in rows if name.startswith("train/")]
    told = rows.groupby((rows["step"] // _EVERY + 1) * _EVERY)
    log = pd.concat([told[train].mean(), told[[name for name in rows if name.startswith(_DICE)]].last()], axis=1)
    log.insert(0, "stage", int(folder.name.partition("-")[2]))
    return log.reset_index()


def _draw(log: pd.DataFrame, name: str) -> None:
    figure = Figure(figsize=(8, 3), layout="constrained")
    losses, dice = figure.subplots(1, 2)
    ends = log.groupby("stage")["step"].max().cumsum()
    total = log["step"] + log["stage"].map(ends.shift(fill_value=0))
    losses.plot(total, log["train/segmentation"], color="#2176ae")
    for prompt, colour in _COLOURS.items():
        there = log[_DICE + prompt].notna()
        dice.plot(total[there], log.loc[there, _DICE + prompt], "o-", color=colour, markersize=3, label=prompt)
    for axes, title in ((losses, "training loss, mean of 100 steps"), (dice, "Dice on views of validation patients")):
        axes.set(xlabel="step", title=title)
        for end in ends[:-1]:
            axes.axvline(end, color="#bbbbbb", linewidth=0.8)
    losses.set_ylim(0.3, 1.5)
    dice.legend(fontsize=8)
    figure.set_dpi(90)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    picture = Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("P")
    picture.save(_PLACE / "images" / f"{name}_curve.png", optimize=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
