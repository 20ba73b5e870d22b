"""Print README's first table from the folder of the study `rivals`: Dice by method and kind of prompt."""

import sys
from pathlib import Path

import pandas as pd

from segevolution.evaluation.statistics import estimate

NAMES = {
    "segvol-mini": "segvol-mini (CT only, an MRI as it is)",
    "base": "segvol-mini-2 (CT only, an MRI matched to CT)",
    "expert": "its shipped MRI expert (no real MRI)",
    "mixture": "mixture from the expert, 5 MRI patients, 600 plain steps",
    "contrasts": "mixture from the expert, 5 MRI patients, as `adapt --base segvol-mini-2` trains",
    "segvol-mini-3": "segvol-mini-3 (CT only, longer), which answers MRI by default",
    "adapt": "**mixture on segvol-mini-3, the same 5, as `adapt` trains**",
    "lora": "LoRA on segvol-mini-2, the same 5, 120 steps",
    "scratch": "the same network from scratch, the same 5",
    "unet": "U-Net from scratch, the same 5, 1,500 steps",
    "ellipsoid": "ellipsoid in the box, no image",
}
ASKED = (  # title, prompt, points, millimetres that a box's faces may be off
    ("text", "text", None, 0),
    ("1 point", "point", 1, 0),
    ("5 points", "point", 5, 0),
    ("box", "box", None, 0),
    ("box, 5 mm off", "box", None, 5),
    ("text+box", "text+box", None, 0),
    ("text+box, 5 mm off", "text+box", None, 5),
)


def main(study: Path, mri: str = "chaos") -> None:
    """Levels on MRI, with intervals."""
    table = pd.read_parquet(study / "results.parquet")
    rows = [("method", *(title for title, *_ in ASKED), "patients, trainings")]
    for method in dict.fromkeys(table["method"]):
        on_mri = table[(table["method"] == method) & (table["dataset"] == mri)]
        cells = [_level(_asked(on_mri, *question)) for _, *question in ASKED]
        trainings = on_mri.loc[on_mri["trained_on"] > 0, "run"].nunique()
        count = f"{on_mri['patient'].nunique()}, {trainings}"
        rows.append((NAMES.get(method.partition(" (")[0], method), *cells, count))
    for row in (rows[0], ("---",) * len(rows[0]), *rows[1:]):
        print(f"| {' | '.join(row)} |")


def _asked(rows: pd.DataFrame, prompt: str, points: int | None, off: float) -> pd.DataFrame:
    chosen = rows[(rows["prompt"] == prompt) & (rows["jitter"] == off)]
    return chosen if points is None else chosen[chosen["points"] == points]


def _level(rows: pd.DataFrame) -> str:
    level = estimate(rows)
    if not level.patients:
        return "–"
    return f"{level.mean:.2f}" + (f" [{level.low:.2f}, {level.high:.2f}]" if level.shown else "")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
