"""Picture of one session of nnInteractive's own client, the part that 3D Slicer and napari talk through.

python docs/make_client_picture.py writes docs/images/slicer_client.png and prints Dice after each mark. A simulated
CT, so nothing is downloaded; the marks are what Slicer sends: points, and a box that is one slice thick. Needs the
extra [server] and nninteractive-client.
"""

import re
import subprocess
import sys
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
from nnInteractive.inference.remote import nnInteractiveRemoteInferenceSession
from scipy.ndimage import distance_transform_edt

from segevolution.data.synthesis.patients import simulate_case
from segevolution.imaging.grid import Grid
from segevolution.metrics import dice
from segevolution.vocabulary import Modality

PICTURE = Path(__file__).with_name("images") / "slicer_client.png"


def main() -> None:
    """Set the marks, one after another."""
    case = simulate_case(7, modality=Modality.CT, sequence="portal", spacing=(3.0, 3.0, 4.0))
    turn = case.volume.canonical("LPS")[1]  # as Slicer holds an axial series
    image, truth = turn.apply(case.volume.array), turn.apply(case.mask("liver"))
    spacing = Grid.oriented(image.shape, case.volume.grid.spacing, "LPS").spacing
    command = [sys.executable, "-m", "segevolution", "serve", "--port", "0", "--modality", "CT", "--device", "cpu"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as server:
        assert server.stderr is not None
        url = next(found.group() for line in server.stderr if (found := re.search(r"http://127\.0\.0\.1:\d+", line)))
        client = nnInteractiveRemoteInferenceSession(url)
        client.set_image(np.ascontiguousarray(image.T[None]), {"spacing": list(spacing[::-1])})
        buffer = np.zeros(image.T.shape, np.uint8)
        client.set_target_buffer(buffer)
        client.reset_interactions()
        shown = [("the image", None, None, np.zeros_like(truth))]
        for number in range(3):
            mask = buffer.T > 0
            spot = deepest(mask ^ truth, spacing)
            positive = bool(truth[tuple(spot)])
            client.add_point_interaction(tuple(spot[::-1].tolist()), positive)
            shown.append((f"point {number + 1}, {'on' if positive else 'off'} it", spot, positive, buffer.T > 0))
        client.reset_interactions()
        z = int(truth.sum(axis=(0, 1)).argmax())
        inside = np.argwhere(truth[:, :, z])
        low, high = inside.min(axis=0), inside.max(axis=0) + 1
        client.add_bbox_interaction([[z, z + 1], [low[1], high[1]], [low[0], high[0]]], True)
        shown.append(("a box in one slice alone", (low, high, z), None, buffer.T > 0))
        client.close()
        server.terminate()
    for title, _, _, mask in shown[1:]:
        print(f"{title}: Dice {dice(mask, truth):.2f}")
    draw(image, truth, shown)


def deepest(mask: np.ndarray, spacing: tuple[float, ...]) -> np.ndarray:
    """The voxel that lies farthest from the edge of a mask."""
    depth = distance_transform_edt(mask, sampling=spacing)
    return np.array(np.unravel_index(int(depth.argmax()), mask.shape))


def draw(image: np.ndarray, truth: np.ndarray, shown: list[tuple[str, object, object, np.ndarray]]) -> None:
    """A slice for each mark, through it."""
    mpl.use("agg")
    figure, axes = plt.subplots(1, len(shown), figsize=(12, 2.9))
    for axis, (title, place, positive, mask) in zip(axes, shown, strict=True):
        boxed = isinstance(place, tuple)
        z = place[2] if boxed else int(place[2]) if place is not None else int(truth.sum(axis=(0, 1)).argmax())
        axis.imshow(image[:, :, z].T, cmap="gray", vmin=-160, vmax=240)
        if mask[:, :, z].any():
            axis.contour(mask[:, :, z].T, levels=[0.5], colors="orange", linewidths=1)
        if boxed:
            (x0, y0), (x1, y1) = place[0], place[1]
            axis.add_patch(plt.Rectangle((x0, y0), x1 - x0, y1 - y0, fill=False, color="deepskyblue", linewidth=0.8))
        elif place is not None:
            axis.plot(place[0], place[1], "+" if positive else "x", color="lime" if positive else "red", markersize=9)
        axis.set_title(title if not mask.any() else f"{title}: {dice(mask, truth):.2f}", fontsize=9)
        axis.axis("off")
    figure.tight_layout()
    figure.savefig(PICTURE, dpi=80)


if __name__ == "__main__":
    main()
