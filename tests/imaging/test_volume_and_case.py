import numpy as np
import pytest
import torch

from segevolution.errors import VocabularyError, VolumeError
from segevolution.imaging.case import Case, label_map
from segevolution.imaging.grid import Grid
from segevolution.imaging.volume import Volume
from segevolution.vocabulary import Modality


def _volume(array: np.ndarray) -> Volume:
    return Volume(array, Grid((3, 4, 5), np.eye(4)), Modality.MRI, name="head")


def test_canonical_keeps_each_voxel_at_its_place(oriented_grid: Grid) -> None:
    array = np.random.default_rng(1).normal(size=oriented_grid.shape)
    volume = Volume(array, oriented_grid, Modality.CT, name="turned")
    canonical, turn = volume.canonical()
    assert (canonical.name, canonical.modality) == ("turned", Modality.CT)
    voxel = (4, 1, 2)
    there = canonical.grid.to_voxel(oriented_grid.to_mm(voxel))[0]
    assert canonical.array[tuple(np.rint(there).astype(int))] == array[voxel]
    np.testing.assert_array_equal(turn.undo(canonical.array), array)


@pytest.mark.parametrize("shape", [(4, 4), (4, 4, 4, 2)])
def test_a_volume_has_three_dimensions(shape: tuple[int, ...]) -> None:
    with pytest.raises(VolumeError, match=f"{len(shape)} dimensions"):
        Volume(np.zeros(shape), Grid((4, 4, 4), np.eye(4)))


def test_a_volume_fills_its_grid() -> None:
    with pytest.raises(VolumeError, match=r"\(4, 4, 4\)"):
        _volume(np.zeros((4, 4, 4)))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_unusable_voxels_are_counted(bad: float) -> None:
    array = np.arange(60.0).reshape(3, 4, 5)
    array[0, 0, :2] = bad
    with pytest.raises(VolumeError, match="head holds NaN or infinity in 2 voxels"):
        _volume(array).check_voxels()


@pytest.mark.parametrize("dtype", [np.complex64, object])
def test_voxels_are_real_numbers(dtype: type) -> None:
    with pytest.raises(VolumeError, match="real numbers"):
        _volume(np.zeros((3, 4, 5), dtype))


@pytest.mark.parametrize("array", [[[[0, 1]]], torch.zeros(3, 4, 5)])
def test_voxels_are_an_array_of_numpy(array: object) -> None:
    with pytest.raises(VolumeError, match="an array of numpy"):
        _volume(array)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["CT", "ct", Modality.CT])
def test_a_modality_may_be_given_by_its_name(name: str) -> None:
    volume = Volume(np.zeros((3, 4, 5)), Grid((3, 4, 5), np.eye(4)), name)  # type: ignore[arg-type]
    assert volume.modality is Modality.CT


@pytest.mark.parametrize("name", ["xx", "", 3])
def test_a_modality_that_is_none_is_refused(name: object) -> None:
    with pytest.raises(VocabularyError, match="is not a modality"):
        Volume(np.zeros((3, 4, 5)), Grid((3, 4, 5), np.eye(4)), name)  # type: ignore[arg-type]


def test_a_constant_image_is_refused_and_two_values_suffice() -> None:
    array = np.full((3, 4, 5), 7, np.int16)
    with pytest.raises(VolumeError, match="head is constant"):
        _volume(array).check_voxels()
    array[0, 0, 0] = 8
    _volume(array).check_voxels()


def test_a_structure_may_be_the_union_of_labels() -> None:
    labels = np.zeros((3, 4, 5), np.uint8)
    labels[0], labels[1] = 1, 2
    case = Case(
        "case", "patient", "set", _volume(labels.astype(float)), labels, {"prostate": (1, 2), "prostate zone": (2,)}
    )
    assert case.mask("prostate").sum() == 40
    np.testing.assert_array_equal(case.mask("prostate zone"), labels == 2)
    with pytest.raises(KeyError):
        case.mask("liver")


def test_labels_of_another_size_are_refused_by_the_cases_name() -> None:
    with pytest.raises(VolumeError, match="case_7"):
        Case("case_7", "patient", "set", _volume(np.zeros((3, 4, 5))), np.zeros((3, 4, 6), np.uint8))


def test_masks_that_overlap_are_kept_whole_in_one_label_map() -> None:
    first, second, third = (np.zeros((6, 1, 1), bool) for _ in range(3))
    first[0:3], second[2:5], third[2:4] = True, True, True
    masks = {"liver": first, "tumour": second, "lesion": third, "nothing": np.zeros((6, 1, 1), bool)}
    labels, structures = label_map(masks)
    assert "nothing" not in structures
    assert labels.dtype == np.uint8
    assert not labels[5]
    for name, values in structures.items():
        np.testing.assert_array_equal(np.isin(labels, values), masks[name])


def test_masks_that_do_not_overlap_are_numbered_in_order() -> None:
    one, two = np.array([[[1, 0, 0]]]), np.array([[[0, 0, 9]]])
    labels, structures = label_map({"b": one, "a": two})
    assert labels.tolist() == [[[1, 0, 2]]]
    assert structures == {"b": (1,), "a": (2,)}


def test_masks_of_two_shapes_are_refused() -> None:
    with pytest.raises(VolumeError, match="one shape"):
        label_map({"a": np.zeros((2, 2, 2)), "b": np.zeros((2, 2, 3))})
