"""DICOM as archives export it: series and their segmentations and structure sets, paired by UIDs, named by codes."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dicom_objects import Stack, binary, code, segment, segmentation, series, structure_set
from segevolution.data.prepare import prepare
from segevolution.data.sources import Overrides, open_source
from segevolution.data.sources.dicom import DICOMSource
from segevolution.data.store import Store
from segevolution.errors import FormatError, StoreError
from segevolution.vocabulary import Modality

STACK = Stack()
_BLOCK = [(0.5, 1.5), (4.5, 1.5), (4.5, 6.5), (0.5, 6.5)]


def _mask(seed: int) -> np.ndarray:
    """(rows, columns, slices), without symmetry."""
    mask = np.zeros(STACK.shape, bool)
    mask[1 + seed : 5 + seed, 1:4, 1:4] = True
    mask[0, 6, 2] = True
    return mask


def _two_patients(root: Path) -> Path:
    """p1: a SEG in a folder of its own; p2: an RTSTRUCT among the slices. Each has a PatientID of its own."""
    series(root / "p1" / "study" / "CT", uid="1.1", PatientID="A")
    (root / "p1" / "study" / "SEG").mkdir()
    named = [segment(1, "Segment_1", code("10200004")), segment(2, "my lesion")]
    frames = [(1, k, _mask(0)[..., k]) for k in range(1, 4)] + [(2, 2, _mask(2)[..., 2])]
    segmentation(root / "p1" / "study" / "SEG" / "1.dcm", named, frames, uid="1.1", PatientID="A")
    series(root / "p2", uid="1.2", PatientID="B")
    drawn = {"Kidney_L": [(0, _BLOCK), (1, _BLOCK)], "GTV": [(1, _BLOCK)]}
    structure_set(root / "p2" / "rt.dcm", drawn, uid="1.2", PatientID="B")
    return root


def test_a_folder_a_patient_is_recognised_and_becomes_a_store(tmp_path: Path) -> None:
    source = open_source("auto", _two_patients(tmp_path / "data"))
    assert isinstance(source, DICOMSource)
    report = prepare(source, Store.create(tmp_path / "store"))
    assert (report.added, dict(report.failed)) == (("p1", "p2"), {})
    store = Store.open(tmp_path / "store")
    assert {store.record(name).patient for name in ("p1", "p2")} == {"p1", "p2"}
    texts = [decision.text for decision in source.decisions]
    assert '"Segment_1" is called liver by its code' in texts
    assert '"Kidney_L" is called left kidney' in texts
    assert any("grouped by the names of their folders" in text for text in texts)


def test_voxels_lie_where_segments_and_contours_have_them(tmp_path: Path) -> None:
    source = DICOMSource(_two_patients(tmp_path / "data"))
    first, second = source.read("p1"), source.read("p2")
    np.testing.assert_array_equal(first.mask("liver"), _mask(0).transpose(1, 0, 2))
    np.testing.assert_array_equal(first.mask("my lesion").sum(axis=(0, 1)), [0, 0, 13, 0, 0])
    assert (first.mask("liver") & first.mask("my lesion")).any()  # they overlap, and both are whole
    expected = np.zeros((7, 9, 5), bool)
    expected[1:5, 2:7, 0:2] = True
    np.testing.assert_array_equal(second.mask("left kidney"), expected)
    assert set(second.structures) == {"left kidney", "gtv"}
    assert first.volume.modality is Modality.CT
    assert first.volume.array[2, 3, 1] == 132  # column 2, row 3, slice 1


def test_a_series_without_labels_is_no_case_and_several_in_a_folder_are_told_apart(tmp_path: Path) -> None:
    root = tmp_path / "data"
    for uid, name in (("1.1", "arterial"), ("1.2", "venous"), ("1.3", "scout")):
        series(root / "p1" / name, uid=uid, SeriesDescription=name)
    binary(root / "p1" / "a.dcm", {"liver": _mask(0)}, uid="1.1")
    binary(root / "p1" / "b.dcm", {"liver": _mask(1)}, uid="1.2")
    source = DICOMSource(root)
    assert source.index() == ("p1_arterial", "p1_venous")
    assert {source.read(case).patient for case in source.index()} == {"p1"}
    np.testing.assert_array_equal(source.read("p1_venous").mask("liver"), _mask(1).transpose(1, 0, 2))


def test_a_folder_that_grows_gives_each_series_one_case_and_never_another_ones_name(tmp_path: Path) -> None:
    root, store = tmp_path / "data", Store.create(tmp_path / "store")
    for number, uid in enumerate(("1.2.9", "1.2.1", "1.2.0")):
        series(root / "P1" / uid, uid=uid, SeriesDescription="t2")
        binary(root / "P1" / uid / "seg.dcm", {"liver": _mask(number)}, uid=uid)
        report = prepare(DICOMSource(root), store)
        assert (len(report.added), len(report.kept), dict(report.failed)) == (1, number, {})
    assert "P1" in store.names
    stored_series = [origin.series for record in store.cases if (origin := record.origin) is not None]
    assert sorted(str(uid) for uid in stored_series) == ["1.2.0", "1.2.1", "1.2.9"]
    assert len(prepare(DICOMSource(root), store, update=True).kept) == 3


def test_another_series_does_not_take_the_place_of_one_that_is_gone(tmp_path: Path) -> None:
    store = Store.create(tmp_path / "store")
    for number, uid in enumerate(("1.2.9", "1.2.1")):
        root = tmp_path / uid / "data"
        series(root / "P1" / "ct", uid=uid)
        binary(root / "P1" / "seg.dcm", {"liver": _mask(number)}, uid=uid)
        report = prepare(DICOMSource(root), store, update=True)
    assert "series 1.2.9" in report.failed["P1"]


def test_several_files_of_one_series_are_one_case_unless_they_hold_one_structure(tmp_path: Path) -> None:
    root = tmp_path / "data"
    series(root / "p1" / "ct")
    binary(root / "p1" / "a.dcm", {"liver": _mask(0)})
    structure_set(root / "p1" / "b.dcm", {"spleen": [(0, _BLOCK)]})
    assert set(DICOMSource(root).read("p1").structures) == {"liver", "spleen"}
    binary(root / "p1" / "c.dcm", {"Liver": _mask(1)})
    with pytest.raises(StoreError, match=r"p1 has liver more than once \(a.dcm, b.dcm, c.dcm\)"):
        DICOMSource(root).read("p1")


def test_two_segments_of_one_code_keep_the_names_that_tell_them_apart(tmp_path: Path) -> None:
    series(tmp_path / "p" / "ct")
    named = [segment(1, "left lobe", code("10200004")), segment(2, "right lobe", code("10200004"))]
    frames = [(number, 1, _mask(number)[..., 1]) for number in (1, 2)]
    segmentation(tmp_path / "p" / "seg.dcm", named, frames)
    assert set(DICOMSource(tmp_path).read("p").structures) == {"left lobe", "right lobe"}


def test_a_file_that_names_no_series_belongs_to_the_only_one_in_its_frame(tmp_path: Path) -> None:
    series(tmp_path / "p" / "ct")
    series(tmp_path / "p" / "other", uid="1.9", FrameOfReferenceUID="9.9")
    binary(tmp_path / "p" / "seg.dcm", {"liver": _mask(0)}, uid=None)
    source = DICOMSource(tmp_path)
    assert source.index() == ("p",)
    assert source.read("p").mask("liver").any()


def test_labels_without_their_series_and_damaged_labels_are_told_and_cost_no_other_case(tmp_path: Path) -> None:
    root = _two_patients(tmp_path / "data")
    binary(root / "p1" / "lost.dcm", {"spleen": _mask(0)}, uid="7.7")
    segmentation(root / "p2" / "empty.dcm", [], [(1, 0, np.ones((9, 7), bool))], uid="1.2")
    report = prepare(open_source("dicom", root), Store.create(tmp_path / "store"))
    assert report.added == ("p1", "p2")
    assert "was drawn on the series 7.7, which is not below" in report.failed["p1_lost"]
    assert "without any segment" in report.failed["p2_empty"]


def test_a_label_file_on_another_grid_than_its_series_is_refused(tmp_path: Path) -> None:
    series(tmp_path / "p" / "ct")
    binary(tmp_path / "p" / "seg.dcm", {"liver": _mask(0)}, replace(STACK, between=(3.0, 1.5)))
    with pytest.raises(FormatError, match="nothing is resampled"):
        DICOMSource(tmp_path).read("p")


def test_folders_that_share_a_patient_are_one_patient_but_not_where_all_bear_one_name(tmp_path: Path) -> None:
    for root, names in ((tmp_path / "some", "AAB"), (tmp_path / "all", "XXX")):
        for number, patient in enumerate(names):
            uid = f"1.{number}"
            series(root / f"scan{number}" / "ct", uid=uid, PatientID=patient)
            binary(root / f"scan{number}" / "seg.dcm", {"liver": _mask(0)}, uid=uid)
    some = DICOMSource(tmp_path / "some").grouping
    assert (some.patients["scan0"], some.patients["scan1"], some.patients["scan2"]) == ("A", "A", "scan2")
    everyone = DICOMSource(tmp_path / "all").grouping
    assert sorted(everyone.patients.values()) == ["scan0", "scan1", "scan2"]
    assert everyone.doubt is not None
    assert 'PatientID "X"' in everyone.doubt
    said = DICOMSource(tmp_path / "all", Overrides(patient_pattern="(scan)")).grouping
    assert set(said.patients.values()) == {"scan"}


def test_one_patients_files_in_the_folder_itself(tmp_path: Path) -> None:
    series(tmp_path / "Case 7")
    binary(tmp_path / "Case 7" / "seg.dcm", {"liver": _mask(0)})
    source = open_source("auto", tmp_path / "Case 7")
    assert source.index() == ("case_7",)
    assert source.read("case_7").patient == "case_7"


def test_a_folder_without_structures_is_in_no_such_layout(tmp_path: Path) -> None:
    series(tmp_path / "p" / "ct")
    assert not DICOMSource.recognises(tmp_path)
    with pytest.raises(StoreError, match="no DICOM segmentation"):
        DICOMSource(tmp_path)


def test_a_patient_id_that_anonymisers_write_joins_no_folders_and_one_of_several_people_is_in_doubt(
    tmp_path: Path,
) -> None:
    for number, patient in enumerate(("ANON", "ANON", "A", "A", "B")):
        uid = f"1.{number}"
        series(tmp_path / f"scan{number}" / "ct", uid=uid, PatientID=patient, PatientBirthDate=f"19{number}00101")
        binary(tmp_path / f"scan{number}" / "seg.dcm", {"liver": _mask(0)}, uid=uid)
    grouping = DICOMSource(tmp_path).grouping
    patients = [grouping.patients[f"scan{number}"] for number in range(5)]
    assert patients == ["scan0", "scan1", "A", "A", "scan4"]
    assert 'the PatientID "ANON", which is taken for no person\'s' in str(grouping.doubt)
    assert 'share the PatientID "A", and were taken for one patient' in str(grouping.doubt)
