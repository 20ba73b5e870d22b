"""Made data as sources: resumable, the same for any number of runs, and every name imaged."""

import json
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from segevolution.data.prepare import prepare
from segevolution.data.store import Store
from segevolution.data.synthesis import ct, mri
from segevolution.data.synthesis.cases import synthesise
from segevolution.data.synthesis.label_names import describe_labels, parse_names, table_beside
from segevolution.data.synthesis.label_tissues import UNKNOWN_TISSUE, describe_any
from segevolution.data.synthesis.patients import parse_sequence, simulate_case
from segevolution.data.synthesis.sources import SimulatedSource, SynthesisedSource, claim
from segevolution.data.synthesis.tissues import TISSUES
from segevolution.errors import StoreError, VocabularyError, VolumeError
from segevolution.vocabulary import STRUCTURES, Modality

COARSE = (9.0, 9.0, 9.0)
NAMES = {1: "liver", 2: "kidney_right", 5: "zorblax", 300: "spleen"}


def write_map(path: Path, orientation: str = "LPS") -> np.ndarray:
    """Four boxes with the values 1, 2, 5 and 300, and 7, which nothing names."""
    labels = np.zeros((30, 28, 12), np.uint16)
    labels[4:12, 6:20, 2:10] = 1
    labels[18:24, 6:14, 2:10] = 2
    labels[18:24, 16:22, 3:9] = 300
    labels[13:16, 8:12, 4:8] = 5
    labels[26:28, 2:4, 2:4] = 7
    affine = np.diag([-5.0, -5.0, 6.0, 1.0]) if orientation == "LPS" else np.diag([5.0, 5.0, 6.0, 1.0])
    nib.save(nib.Nifti1Image(labels, affine), path)
    return labels


@pytest.fixture
def maps(tmp_path: Path) -> Path:
    folder = tmp_path / "maps"
    folder.mkdir()
    for stem in ("anna", "bert"):
        write_map(folder / f"{stem}.nii.gz")
    (folder / "labels.json").write_text(json.dumps({"labels": {"background": 0, "liver": 1, "zorblax": 5}}))
    return folder


@pytest.mark.parametrize("region", ["torso", "head"])
@pytest.mark.parametrize("sequence", [*mri.PROTOCOLS, "random"])
def test_every_sequence_renders_with_signal_and_air(region: str, sequence: str) -> None:
    case = simulate_case(3, region=region, modality="MRI", sequence=sequence, spacing=COARSE, detail=True)  # type: ignore[arg-type]
    image = case.volume.array
    assert image.dtype == np.uint16
    assert np.median(image[case.labels > 0]) > 3 * np.median(image[:1])
    assert case.sequence == sequence


@pytest.mark.parametrize("region", ["torso", "head"])
@pytest.mark.parametrize("phase", ct.PHASES)
def test_every_contrast_phase_renders(region: str, phase: str) -> None:
    case = simulate_case(3, region=region, modality="CT", sequence=phase, spacing=COARSE)  # type: ignore[arg-type]
    assert -150 < np.median(case.volume.array[case.mask("body fat")]) < 20


def test_options_are_off_unless_asked_for() -> None:
    plain = simulate_case(3, region="head", modality="MRI", sequence="T1", spacing=COARSE)
    asked = simulate_case(3, region="head", modality="MRI", sequence="T1", spacing=COARSE, wholes=True, detail=True)
    assert {"body", "brain"}.isdisjoint(plain.structures)
    assert {"body", "brain", "spine"} <= set(asked.structures) <= set(STRUCTURES)
    assert np.array_equal(asked.mask("body"), asked.labels > 0)
    inside = plain.mask("cerebral white matter")
    assert np.array_equal(inside, asked.mask("cerebral white matter"))  # a face changes nothing inside the skull
    assert asked.mask("skull").sum() > plain.mask("skull").sum()


def test_a_tumour_and_a_pelvis_come_when_asked_for() -> None:
    told = {True: simulate_case(1, region="head", spacing=COARSE, tumour=True)}
    told[False] = simulate_case(3, region="head", spacing=COARSE, tumour=False)
    assert {key: "brain tumour" in case.structures for key, case in told.items()} == {True: True, False: False}
    low = simulate_case(1, spacing=COARSE, pelvis=True)
    assert {"sacrum", "bladder"} <= set(low.structures)
    assert "sacrum" not in simulate_case(1, spacing=COARSE, pelvis=False).structures


def test_bone_has_a_dark_shell_in_mri_only_where_asked_for() -> None:
    case = {on: simulate_case(2, modality="MRI", sequence="T1", spacing=(4, 4, 5), detail=on) for on in (False, True)}
    bone = case[True].mask("vertebrae")
    assert np.array_equal(case[True].labels, case[False].labels)
    mean = {on: float(one.volume.array[bone].mean()) for on, one in case.items()}
    assert mean[True] < 0.85 * mean[False]


@pytest.mark.parametrize(
    ("words", "modality", "meant"),
    [
        ("t2", "MRI", "T2"),
        ("T2 SPIR", "MRI", "T2-SPIR"),
        ("t1ce", "MRI", "T1-CE"),
        ("in phase", "MRI", "T1-IN"),
        ("Random", "MRI", "random"),
        ("Portal", "CT", "portal"),
        ("venous", "CT", "portal"),
    ],
)
def test_sequences_are_read_as_people_write_them(words: str, modality: str, meant: str) -> None:
    assert parse_sequence(words, Modality(modality)) == meant


def test_a_sequence_of_the_other_modality_is_refused() -> None:
    with pytest.raises(VolumeError, match="contrast phase"):
        parse_sequence("t2", Modality.CT)


@pytest.mark.parametrize("orientation", ["RAS", "LPS"])
def test_without_deformation_labels_stay_on_the_maps_grid_voxel_by_voxel(tmp_path: Path, orientation: str) -> None:
    before = write_map(tmp_path / "one.nii.gz", orientation)
    made = synthesise(tmp_path / "one.nii.gz", 4, names=NAMES, modality=Modality.MRI, deform=0, lenient=True)
    image, labels = made.on_the_map()
    assert image.grid.close_to(made.source.grid)
    assert np.array_equal(labels, np.where(before == 7, 0, before))
    fluid = image.array[labels == 300].mean()
    assert fluid != pytest.approx(image.array[labels == 1].mean(), rel=0.02)  # spleen and liver differ, in place


def test_deformation_is_on_by_default_and_keeps_the_values(tmp_path: Path) -> None:
    before = write_map(tmp_path / "one.nii.gz")
    _, labels = synthesise(tmp_path / "one.nii.gz", 4, names=NAMES, lenient=True).on_the_map()
    assert labels.shape == before.shape
    assert set(np.unique(labels)) == {0, 1, 2, 5, 300}
    assert not np.array_equal(labels, np.where(before == 7, 0, before))


def test_background_is_filled_with_tissue_and_air(tmp_path: Path) -> None:
    write_map(tmp_path / "one.nii.gz")
    case = synthesise(tmp_path / "one.nii.gz", 4, names=NAMES, lenient=True).case
    named = np.isin(case.labels, [value for values in case.structures.values() for value in values])
    made_up = (case.labels > 0) & ~named
    assert made_up.mean() > 0.1
    hounsfield = case.volume.array[made_up]
    assert ((hounsfield > -140) & (hounsfield < -60)).mean() > 0.1  # fat
    assert ((hounsfield > 20) & (hounsfield < 100)).mean() > 0.1  # muscle


def test_a_torso_is_laid_around_organs_and_names_nothing(tmp_path: Path) -> None:
    labels = np.zeros((44, 36, 20), np.uint8)
    labels[6:13, 14:20, 5:13], labels[30:37, 14:20, 4:12] = 1, 2
    nib.save(nib.Nifti1Image(labels, np.diag([8.0, 8.0, 10.0, 1.0])), tmp_path / "kidneys.nii.gz")
    names = {1: "left kidney", 2: "right kidney"}
    made = {
        detail: synthesise(tmp_path / "kidneys.nii.gz", 2, names=names, deform=0, lenient=True, detail=detail)
        for detail in (False, True)
    }
    case = made[True].case
    assert set(case.structures) == {"left kidney", "right kidney", "kidney"}
    assert np.array_equal(made[True].on_the_map()[1], labels)
    between = case.volume.array[18:26, 10:18, 6:12]
    assert (between > 150).mean() > 0.1  # the spine, between the kidneys
    assert (made[True].case.labels > 0).sum() > (made[False].case.labels > 0).sum()
    kidney = case.volume.array[case.mask("kidney")]
    around = (case.labels > 0) & ~case.mask("kidney")
    assert (case.volume.array[around] < -60).mean() > 0.1
    assert np.median(kidney) > 80


def test_random_contrasts_differ_from_seed_to_seed(tmp_path: Path) -> None:
    write_map(tmp_path / "one.nii.gz")
    ratios = []
    for seed in range(6):
        case = synthesise(
            tmp_path / "one.nii.gz", seed, names=NAMES, modality=Modality.MRI, sequence="random", lenient=True
        ).case
        ratios.append(case.volume.array[case.mask("liver")].mean() / case.volume.array[case.mask("spleen")].mean())
    assert min(ratios) < 1 < max(ratios)


def test_unknown_names_become_soft_tissue_with_a_note_and_stay_structures(tmp_path: Path) -> None:
    write_map(tmp_path / "one.nii.gz")
    made = synthesise(tmp_path / "one.nii.gz", 0, names=NAMES, lenient=True)
    assert "zorblax" in made.case.structures
    assert any("zorblax" in note for note in made.notes)
    assert any("7" in note for note in made.notes)
    with pytest.raises(VocabularyError, match="zorblax"):
        synthesise(tmp_path / "one.nii.gz", 0, names=NAMES)


@pytest.mark.parametrize(
    ("name", "tissue"),
    [
        ("zorblax", UNKNOWN_TISSUE),
        ("Left-Cerebral-White-Matter", "white matter"),
        ("Left-Inf-Lat-Vent", "csf"),
        ("infrapatellar fat body", "fat"),
        ("tibialis nerve", "cord"),
        ("right renal pelvis", "urine"),
        ("lung_upper_lobe_left", "lung"),
        ("---", UNKNOWN_TISSUE),
    ],
)
def test_any_name_gets_a_tissue(name: str, tissue: str) -> None:
    found = describe_any(name)
    assert found[1] == tissue in TISSUES
    assert found[2] == (tissue != UNKNOWN_TISSUE)


def test_freesurfers_parcels_are_cortex_and_strange_numbers_are_said() -> None:
    described = describe_labels([0, 3, 31, 1022, 2035, 4020, 99999], "freesurfer")
    assert {described.names[value] for value in (3, 1022, 2035)} == {"cerebral cortex"}
    assert described.names[4020] == "cerebral white matter"
    assert 31 in described.tissues
    assert "99999" in described.notes[0]


def test_names_come_as_words_objects_or_files(maps: Path) -> None:
    assert parse_names("FreeSurfer") == "freesurfer"
    assert parse_names('{"1": "liver"}') == parse_names('{"liver": 1}') == {1: "liver"}
    table = maps / "labels.json"
    assert parse_names(str(table)) == table_beside(maps / "anna.nii.gz") == {1: "liver", 5: "zorblax"}
    for wrong in ("nowhere.json", "{}", '{"a": "b"}', "{"):
        with pytest.raises(StoreError):
            parse_names(wrong)


def test_maps_are_taken_in_turn_and_each_seed_gives_another_image(maps: Path) -> None:
    source = SynthesisedSource(maps, 3, "made", seed=5, names={1: "liver"}, sequences=("portal", "native"))
    assert source.index() == ["anna_000005", "bert_000006", "anna_000007"]
    first, again, third = (source.read(name) for name in ("anna_000005", "anna_000005", "anna_000007"))
    assert np.array_equal(first.volume.array, again.volume.array)
    assert not np.array_equal(first.labels, third.labels)
    assert (first.patient, first.dataset, first.name) == ("anna", "made", "anna_000005")
    assert [source.read(name).sequence for name in source.index()] == ["portal", "native", "portal"]
    assert replace(source, patients=None).index() == ["anna_000005", "bert_000006"]


def test_notes_name_the_maps_and_read_no_voxel(maps: Path) -> None:
    (maps / "anna.nii.gz").write_bytes(b"")
    source = SynthesisedSource(maps, None, "made", names="json")
    ((note, stems),) = source.notes().items()
    assert "zorblax" in note
    assert stems == ("anna", "bert")


def test_a_store_of_made_patients_goes_on_where_it_stopped_and_is_the_same(tmp_path: Path) -> None:
    source = SimulatedSource(2, "sim", seed=7, spacing=(14, 14, 14))
    whole, parts = Store.create(tmp_path / "whole"), Store.create(tmp_path / "parts")
    prepare(source, whole)
    prepare(replace(source, patients=1), parts)
    report = prepare(source, parts)
    assert (report.added, report.kept) == (("sim_000008",), ("sim_000007",))
    assert whole.fingerprint() == parts.fingerprint()


def test_a_store_refuses_cases_of_a_dataset_made_in_another_way(tmp_path: Path) -> None:
    store, source = Store.create(tmp_path / "store"), SimulatedSource(2, "sim")
    claim(store, source)
    claim(store, replace(source, patients=9))
    claim(store, replace(source, dataset="other", region="head"))
    with pytest.raises(StoreError, match="region torso, not head"):
        claim(store, replace(source, region="head"))


@pytest.mark.long
def test_every_kind_of_real_map_can_be_used(shared_data: Path) -> None:
    zones = {1: "peripheral zone", 2: "transition zone"}
    for place, names in (
        ("prostate_labels/prostate_00.nii.gz", zones),
        ("ct_kidney_labels/case_00000.nii.gz", {1: "kidney", 2: "kidney tumour"}),
        ("atlas_labels/knee_mr.nrrd", "json"),
        ("ct_abdomen_btcv/labelsTr/btcv_00.nii.gz", "json"),
        ("mr_abdomen_chaos/labelsTr/chaos_01.nii.gz", "json"),
    ):
        case = synthesise(
            shared_data / place,
            1,
            names=names,
            modality=Modality.MRI,
            sequence="T2",
            spacing=(8, 8, 10),
            lenient=True,
            detail=True,
        ).case
        assert len(case.structures) >= 2
        assert np.median(case.volume.array[case.labels > 0]) > np.median(case.volume.array[case.labels == 0])
