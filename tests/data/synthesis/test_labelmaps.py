"""Other people's label maps as anatomies."""

import json
from pathlib import Path

import numpy as np
import pytest

from segevolution.data.synthesis import ct, mri
from segevolution.data.synthesis.label_tissues import FREESURFER, describe
from segevolution.data.synthesis.labelmaps import from_freesurfer, from_label_map
from segevolution.data.synthesis.tissues import TISSUES
from segevolution.errors import VocabularyError, VolumeError
from segevolution.imaging.formats import read_labels
from segevolution.imaging.grid import Grid
from segevolution.imaging.volume import Volume

NAMES = {3: "kidney_right", 700: "Liver"}


def little_map(orientation: str = "RAS") -> Volume:
    """Two boxes, the kidney to the patient's right of the liver, in a field of view of 160 mm."""
    array = np.zeros((40, 40, 20), np.int32)
    array[25:32, 10:20, 5:15] = 3
    array[8:20, 12:26, 4:16] = 700
    affine = np.diag([4.0, 4.0, 4.0, 1.0])
    if orientation == "LPS":
        array = array[::-1, ::-1]
        affine = np.diag([-4.0, -4.0, 4.0, 1.0])
        affine[:2, 3] = 39 * 4.0
    return Volume(array, Grid(array.shape, affine), name="little map")


def test_without_bending_every_label_stays_where_it_is() -> None:
    source = little_map()
    anatomy = from_label_map(source, NAMES, np.random.default_rng(0), bend=0)
    assert np.array_equal(anatomy.mask("right kidney"), source.array == 3)
    assert np.array_equal(anatomy.mask("liver"), source.array == 700)


@pytest.mark.parametrize("orientation", ["RAS", "LPS"])
def test_the_anatomy_is_in_ras_order_whatever_the_files_order(orientation: str) -> None:
    anatomy = from_label_map(little_map(orientation), NAMES, np.random.default_rng(0), bend=0)
    assert anatomy.grid.orientation == "RAS"
    kidney, liver = (anatomy.grid.to_mm(np.argwhere(anatomy.mask(n)).mean(0))[0] for n in ("right kidney", "liver"))
    assert kidney[0] > liver[0]


def test_bending_moves_borders_and_keeps_neighbours_and_sizes() -> None:
    source = little_map()
    for seed in range(8):
        anatomy = from_label_map(source, NAMES, np.random.default_rng(seed))
        liver = anatomy.mask("liver")
        assert not np.array_equal(liver, source.array == 700)
        assert liver.sum() == pytest.approx((source.array == 700).sum(), rel=0.35)
        kidney = np.argwhere(anatomy.mask("right kidney")).mean(0)
        assert kidney[0] > np.argwhere(liver).mean(0)[0]


def test_a_body_is_made_up_around_the_labels_and_names_no_structure() -> None:
    anatomy = from_label_map(little_map(), NAMES, np.random.default_rng(1))
    made_up = {anatomy.tissues[int(v)] for v in np.unique(anatomy.labels) if v and int(v) not in anatomy.names}
    assert {"skin", "fat", "muscle"} <= made_up
    assert set(anatomy.structures()) == {"liver", "right kidney", "kidney"}
    bare = from_label_map(little_map(), NAMES, np.random.default_rng(1), fill=False)
    assert set(bare.tissues.values()) == {"liver", "kidney"}


def test_another_spacing_keeps_the_field_of_view_and_the_places() -> None:
    source = little_map()
    anatomy = from_label_map(source, NAMES, np.random.default_rng(0), bend=0, spacing=(2.0, 2.0, 8.0))
    assert anatomy.grid.shape == (80, 80, 10)
    there = anatomy.grid.to_mm(np.argwhere(anatomy.mask("liver")).mean(0))[0]
    here = source.grid.to_mm(np.argwhere(source.array == 700).mean(0))[0]
    assert np.abs(there - here).max() <= 4.0
    assert anatomy.mask("liver").sum() * 32 == pytest.approx((source.array == 700).sum() * 64, rel=0.2)


def test_a_scan_of_a_label_map_shows_its_tissues() -> None:
    anatomy = from_label_map(little_map(), NAMES, np.random.default_rng(2))
    hounsfield = ct.render(anatomy, np.random.default_rng(0)).array
    assert 40 < np.median(hounsfield[anatomy.mask("liver")]) < 170
    spir = mri.render(anatomy, np.random.default_rng(0), sequence="T2-SPIR").array
    assert np.median(spir[anatomy.mask("right kidney")]) > np.median(spir[anatomy.mask("liver")])


@pytest.mark.parametrize(
    ("name", "structure", "tissue"),
    [
        ("kidney_left", "left kidney", "kidney"),
        ("vertebrae_L5", "vertebrae", "bone"),
        ("rib_left_7", "ribs", "bone"),
        ("portal_vein_and_splenic_vein", "portal and splenic vein", "portal blood"),
        ("lung_upper_lobe_left", "left lung", "lung"),
        ("gluteus_maximus_left", "left gluteus maximus", "muscle"),
        ("inferior_vena_cava", "inferior vena cava", "cava blood"),
        ("iliac_vena_left", "iliac veins", "cava blood"),
        ("urinary_bladder", "bladder", "urine"),
        ("gallbladder", "gallbladder", "bile"),
        ("costal_cartilages", "costal cartilage", "cartilage"),
        ("adrenal_gland_right", "right adrenal gland", "adrenal"),
        ("prostate peripheral zone", "prostate peripheral zone", "prostate peripheral"),
        ("kidney tumour", "kidney tumour", "tumour"),
    ],
)
def test_a_name_tells_structure_and_tissue(name: str, structure: str, tissue: str) -> None:
    assert describe(name) == (structure, tissue)


def test_unknown_names_ask_for_a_tissue_and_accept_it() -> None:
    with pytest.raises(VocabularyError, match="tissues"):
        from_label_map(little_map(), {3: "thing", 700: "liver"}, np.random.default_rng(0))
    anatomy = from_label_map(little_map(), {700: "liver"}, np.random.default_rng(0), tissues={3: "bile"}, bend=0)
    assert set(anatomy.structures()) == {"liver"}
    assert "bile" in anatomy.tissues.values()


def test_maps_that_cannot_be_used_are_refused() -> None:
    rng = np.random.default_rng(0)
    grid = Grid((4, 4, 4), np.eye(4))
    with pytest.raises(VolumeError, match="whole numbers"):
        from_label_map(Volume(np.full((4, 4, 4), 0.5), grid), {}, rng)
    with pytest.raises(VolumeError, match="labels"):
        from_label_map(Volume(np.zeros((4, 4, 4), np.uint8), grid), {}, rng)
    with pytest.raises(VolumeError, match="neither"):
        from_label_map(Volume(np.ones((4, 4, 4), np.uint8), grid), {}, rng)
    with pytest.raises(VolumeError, match="not a tissue"):
        from_label_map(Volume(np.ones((4, 4, 4), np.uint8), grid), {}, rng, tissues={1: "cheese"})


def test_a_brain_alone_gets_fluid_skull_and_scalp() -> None:
    x, y, z = np.meshgrid(*[np.arange(40) - 20.0] * 3, indexing="ij")
    radius = np.sqrt(x**2 + y**2 + z**2) * 4
    array = np.where(radius < 40, 2, np.where(radius < 48, 3, 0)).astype(np.int32)
    anatomy = from_freesurfer(Volume(array, Grid(array.shape, np.diag([4.0, 4, 4, 1]))), np.random.default_rng(0))
    assert {"bone", "fat", "skin"} <= set(anatomy.tissues.values())
    line = [anatomy.tissues.get(int(v), "air") for v in anatomy.labels[20:, 20, 20]]
    assert line[0] == "white matter"
    assert line[-1] == "air"
    assert line.index("grey matter") < line.index("bone") < len(line) - 1 - line[::-1].index("fat")


def test_freesurfer_table_names_only_known_tissues() -> None:
    assert {tissue for _, tissue in FREESURFER.values()} <= set(TISSUES)


def test_the_real_torso_map_becomes_a_patient_with_all_its_structures(shared_data: Path) -> None:
    folder = shared_data / "ct_torso"
    names = {int(key): name for key, name in json.loads((folder / "labels.json").read_text("utf-8")).items()}
    labels = read_labels(folder / "labels.nii.gz")
    anatomy = from_label_map(labels, names, np.random.default_rng(0), spacing=(5.0, 5.0, 5.0))
    found = anatomy.structures()
    assert {describe(name)[0] for name in names.values()} - {"right adrenal gland", "left adrenal gland"} <= set(found)
    right, left = (np.argwhere(anatomy.mask(n)).mean(0)[0] for n in ("right kidney", "left kidney"))
    assert right > left
