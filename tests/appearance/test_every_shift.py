"""What holds for all shifts alike; a new one is held to it by its line in the registry."""

import json
import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from segevolution.appearance import SHIFTS, Parameters, apply, draw, find, shift
from segevolution.errors import VocabularyError, VolumeError
from segevolution.imaging.volume import Volume
from segevolution.vocabulary import Modality

EVERY = pytest.mark.parametrize("name", SHIFTS)


def _severe(name):
    return SHIFTS[name].ladder[-1]


@EVERY
def test_strength_zero_gives_the_volume_itself(name, scan, ct):
    for volume in (scan, ct):
        same, parameters = shift(volume, name, 0, seed=4)
        assert same.array.dtype == volume.array.dtype
        assert np.array_equal(same.array, volume.array)
        assert parameters.change is None


@EVERY
def test_a_shift_changes_signal_and_nothing_else(name, scan):
    before = scan.array.copy()
    changed = shift(scan, name, _severe(name), seed=1).volume
    assert changed.array.dtype == np.float32
    assert changed.array.flags["C_CONTIGUOUS"]
    assert changed.array.shape == scan.array.shape
    assert np.isfinite(changed.array).all()
    assert changed.array.min() >= 0
    assert not np.array_equal(changed.array, scan.array)
    assert changed.grid is scan.grid
    assert (changed.name, changed.modality, changed.origin) == (scan.name, scan.modality, scan.origin)
    assert np.array_equal(scan.array, before)


@EVERY
def test_a_float32_image_is_not_written_to(name, scan):
    image = scan.array.astype(np.float32)
    before = image.copy()
    shift(Volume(image, scan.grid, Modality.MRI), name, _severe(name), seed=1)
    assert np.array_equal(image, before)


@EVERY
def test_a_record_replays_the_very_voxels(name, scan):
    changed, parameters = shift(scan, name, SHIFTS[name].ladder[1], seed=2)
    read = Parameters.from_json(json.loads(json.dumps(parameters.to_json())))
    assert read == parameters
    assert np.array_equal(apply(scan, read).array, changed.array)


@EVERY
def test_seeds_are_kept_and_told_apart(name, scan):
    strength = SHIFTS[name].ladder[1]
    assert draw(name, strength, scan.grid, 7) == draw(name, strength, scan.grid, 7)
    drawn = {draw(name, strength, scan.grid, seed).change for seed in range(10)}
    assert len(drawn) > 1


@EVERY
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_larger_strength_changes_more(name, seed, scan):
    changed = [shift(scan, name, strength, seed).volume.array - scan.array for strength in SHIFTS[name].ladder]
    sizes = [float(np.sqrt(np.mean(change.astype(float) ** 2))) for change in changed]
    assert sizes[0] > 0
    assert all(small < large for small, large in pairwise(sizes)), sizes


@EVERY
def test_a_bad_strength_or_seed_is_refused_in_a_sentence(name, scan):
    for strength in (-0.1, SHIFTS[name].limit * 1.01, float("nan"), float("inf")):
        with pytest.raises(VolumeError, match=f"{name} cannot have strength .*; give 0 .*to .*"):
            shift(scan, name, strength, seed=0)
    with pytest.raises(VolumeError, match="take 0 or more"):
        shift(scan, name, 0.1, seed=-1)


@EVERY
def test_a_shift_states_its_ladder_unit_and_source(name):
    kind = find(name)
    assert kind.name == name
    assert list(kind.ladder) == sorted(set(kind.ladder))
    assert 0 < kind.ladder[0] < kind.ladder[-1] <= kind.limit
    assert kind.unit
    assert "doi:" in kind.source or "arXiv:" in kind.source


@EVERY
def test_ct_is_changed_or_refused_with_what_may_be_taken(name, ct):
    if Modality.CT in SHIFTS[name].modalities:
        changed = shift(ct, name, _severe(name), seed=0).volume.array
        assert changed.min() < -500  # still HU
    else:
        with pytest.raises(VolumeError, match=r"body.nii.gz is CT, where .* take one of .*noise"):
            shift(ct, name, _severe(name), seed=0)


@EVERY
def test_voxels_without_signal_are_refused(name, scan):
    signal = scan.array.astype(np.float32)
    signal[3, 3, 3] = np.nan
    for array in (signal, np.ones_like(signal)):
        with pytest.raises(VolumeError, match=r"NaN|constant"):
            shift(Volume(array, scan.grid, Modality.MRI), name, _severe(name), seed=0)


def test_without_a_modality_negative_signal_is_taken_for_ct(ct):
    unknown = Volume(ct.array, ct.grid)
    noisy = shift(unknown, "noise", 0.1, seed=5).volume.array
    assert np.array_equal(noisy, shift(ct, "noise", 0.1, seed=5).volume.array)


@pytest.mark.parametrize(("wrong", "hint"), [("bias_feild", '"bias_field"'), ("nois", '"noise"'), ("qqq", "known are")])
def test_an_unknown_shift_is_refused_with_the_nearest(wrong, hint, scan):
    with pytest.raises(VocabularyError, match=f'"{wrong}" is not a shift of appearance; .*{hint}'):
        shift(scan, wrong, 0.1, seed=0)


@pytest.mark.parametrize("spoil", [lambda r: r.pop("seed"), lambda r: r["change"].pop("exponent")])
def test_a_record_that_is_not_whole_is_refused(spoil, scan):
    record = draw("gamma", 0.2, scan.grid, 0).to_json()
    spoil(record)
    with pytest.raises(VolumeError, match="cannot be replayed"):
        Parameters.from_json(record)


def test_names_and_augmentation_come_without_torch():
    lines = """
import sys, segevolution.data.augment
from segevolution.appearance import SHIFTS
print(list(SHIFTS))
assert not {'torch', 'torchio'} & set(sys.modules)
"""
    done = subprocess.run(
        [sys.executable, "-c", lines],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "motion" in done.stdout


def test_the_page_lists_every_shift_with_its_ladder_and_modalities():
    page = Path(__file__).parents[2] / "docs" / "explanation" / "appearance.md"
    rows = re.findall(r"^\| `(\w+)` \|[^|]*\| ([^|]*) \| (MRI|any) \|", page.read_text(encoding="utf-8"), re.MULTILINE)
    expected = [
        (
            name,
            ", ".join(f"{strength:g}" for strength in SHIFTS[name].ladder),
            "MRI" if SHIFTS[name].modalities == {Modality.MRI} else "any",
        )
        for name in SHIFTS
    ]
    assert rows == expected
