"""Which label of a prostate is which zone: the anatomy decides, because public readers contradict each other.

The peripheral zone lies behind the transition zone and wraps it from behind. Measured on label maps:

    set                            with both   1 behind 2   by (mm: median, range)   area / convex area, 1 | 2
    Decathlon's prostate task      30 of 32    30 of 30     13.2, 3.5 to 32.0        0.28-0.68 | 0.94-0.98
    PI-CAI (1 named peripheral)    120 of 120  120 of 120   9.7, 2.3 to 24.1         0.30-0.65 | 0.84-0.99

So label 1 of the Decathlon is the peripheral zone, as its dataset.json says ("PZ"). Its other two men, prostate_18 and
prostate_32, carry label 1 alone, as compact (0.97) as no peripheral zone is: there it is the whole gland.
"""

from dataclasses import replace

import numpy as np
import numpy.typing as npt
from scipy.spatial import ConvexHull

from ...errors import StoreError
from ...imaging.case import Case

PERIPHERAL, TRANSITION = "prostate peripheral zone", "prostate transition zone"

# Between the least compact transition zone and the most compact peripheral one of the 150 men above.
_COMPACT = 0.76
# No peripheral zone above lay less than 2.3 mm behind its transition zone.
_IN_FRONT_MM = 1.0


def check_zones(case: Case) -> Case:
    """A case of a dataset that names both zones, if they lie as zones do; names that they contradict are left out.

    A compact "peripheral zone" on its own is the whole gland, so only `prostate` stays; a crescent on its own is no
    whole gland, so only the zone stays. The case's remark says so.

    Raises:
        StoreError: the peripheral zone lies in front, so names or image are turned round; or there is only something
            that is called transition zone, which a whole gland looks like.
    """
    if PERIPHERAL in case.structures and TRANSITION in case.structures:
        _check_order(case)
        return case
    if TRANSITION in case.structures:
        raise StoreError(
            f"{case.name}: its labels hold a transition zone and no peripheral zone, which looks like a whole gland "
            "under the wrong number; look at it, and name it in a dataset.json of its own."
        )
    if PERIPHERAL not in case.structures:
        return case
    whole = compactness(_axial(case, PERIPHERAL)) > _COMPACT
    wrong, fault = (PERIPHERAL, "is as compact as a whole gland") if whole else ("prostate", "is no whole gland")
    return replace(
        case,
        structures={name: values for name, values in case.structures.items() if name != wrong},
        remark=f"its peripheral zone comes without a transition zone and {fault}, so it is not called {wrong}.",
    )


def compactness(mask: npt.NDArray[np.bool_]) -> float:
    """Area over convex area, summed over the axial slices of a mask (X, Y, Z) with at least one voxel; 1 is convex."""
    area, convex = 0, 0.0
    for slice_ in np.moveaxis(mask, 2, 0):
        pixels = np.argwhere(slice_)
        if len(pixels):
            area += len(pixels)
            convex += ConvexHull(np.concatenate([pixels + corner for corner in np.ndindex(2, 2)])).volume
    return area / convex


def behind_mm(case: Case, first: npt.NDArray[np.bool_], second: npt.NDArray[np.bool_]) -> float:
    """How far the centre of one mask (X, Y, Z, the case's order) lies to the patient's back of another's."""
    front, back = (case.volume.grid.to_mm(np.argwhere(mask).mean(axis=0))[0, 1] for mask in (second, first))
    return float(front - back)


def _check_order(case: Case) -> None:
    behind = behind_mm(case, case.mask(PERIPHERAL), case.mask(TRANSITION))
    if behind > -_IN_FRONT_MM:
        return
    if compactness(_axial(case, PERIPHERAL)) > compactness(_axial(case, TRANSITION)):
        remedy = "it is the rounder one too, so the two names are exchanged: exchange them in dataset.json"
    else:
        remedy = "it is the crescent of the two, so the image is upside down: mend its affine"
    raise StoreError(
        f"{case.name}: what is named peripheral zone lies {-behind:.1f} mm in front of the transition zone; {remedy}."
    )


def _axial(case: Case, structure: str) -> npt.NDArray[np.bool_]:
    """The mask of a structure in canonical order, so that its third axis runs upwards."""
    mask: npt.NDArray[np.bool_] = case.volume.grid.canonical()[1].apply(case.mask(structure))
    return mask
