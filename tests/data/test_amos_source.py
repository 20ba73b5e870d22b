"""AMOS22 in miniature: CT and MRI are told apart by the table, people are found again, and doubt is refused."""

import csv
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from segevolution.data.prepare import prepare
from segevolution.data.sources import Overrides, open_source
from segevolution.data.sources.amos import (
    LABELS,
    SCANNERS,
    TABLE,
    AMOSSource,
    modality_of_id,
    modality_of_scanner,
)
from segevolution.data.store import Store
from segevolution.errors import SegevolutionError, StoreError
from segevolution.vocabulary import Modality

COLUMNS = (
    "amos_id",
    "Patient's Birth Date",
    "Patient's Sex",
    "Patient's Age",
    "Manufacturer's Model Name",
    "Manufacturer",
    "Acquisition Date",
    "Site",
)
SHAPE = (12, 14, 8)
# As the files of amos_0013 are turned: LAS, 5 mm slices. The label of one case lies in another axis order.
LAS = np.array([[-0.8, 0, 0, 30], [0, 0.8, 0, -20], [0, 0, 5, 7], [0, 0, 0, 1.0]])


def row(number: object, model: str, born: str = "", sex: str = "", date: str = "", site: str = "LGCH") -> list[object]:
    return [number, born, sex, "050Y", model, "maker", date, site]


class Dataset:
    """Writes `amos22/` with its strays, and the table beside it."""

    def __init__(self, root: Path, miniature: Any) -> None:
        self.outer, self.root, self.miniature = root, root / "amos22", miniature
        self.table: list[list[object]] = []

    def case(self, number: int, end: str = "Tr", values: tuple[int, ...] = (6, 9), *, labelled: bool = True) -> None:
        stem = f"amos_{number:04d}.nii.gz"
        self.miniature.image(self.root / f"images{end}" / stem, seed=number, affine=LAS)
        if labelled:
            self.miniature.labels(self.root / f"labels{end}" / stem, values, affine=LAS)

    def write_header(self) -> None:
        self.root.mkdir(parents=True, exist_ok=True)
        names = {"0": "background"} | {str(value): name for value, name in enumerate(LABELS, start=1)}
        told = {"name": "AMOS", "licence": "CC-BY", "modality": {"0": "CT"}, "labels": names, "training": []}
        (self.root / "dataset.json").write_text(json.dumps(told))

    def write_table(self, folder: Path | None = None, columns: tuple[str, ...] = COLUMNS) -> None:
        with ((folder or self.outer) / TABLE).open("w", newline="") as stream:
            writer = csv.writer(stream)
            writer.writerow(columns)
            writer.writerows(self.table)

    def faults(self, source: AMOSSource | None = None) -> Mapping[str, str]:
        source, found = source or AMOSSource(self.outer), {}
        for case in source.index():
            try:
                source.read(case)
            except SegevolutionError as error:
                found[case] = str(error)
        assert not any("\n" in reason for reason in found.values())
        return found


@pytest.fixture
def amos(tmp_path: Path, miniature: Any) -> Dataset:
    dataset = Dataset(tmp_path / "download", miniature)
    dataset.write_header()
    return dataset


def test_the_scanner_decides_where_dataset_json_says_ct_for_all(amos: Dataset) -> None:
    for number, end in ((1, "Tr"), (450, "Tr"), (507, "Va"), (470, "Va")):
        amos.case(number, end)
    amos.table = [
        row(1, "Aquilion ONE", site="LGCH"),
        row(450, "Optima CT660", site="LGPH"),
        row(507, "Ingenia"),
        row(470, "Prisma"),
    ]
    amos.write_table()
    source = open_source("auto", amos.outer)
    assert isinstance(source, AMOSSource)
    assert source.index() == ("amos_0001", "amos_0450", "amos_0470", "amos_0507")
    cases = {name: source.read(name) for name in source.index()}
    assert [case.volume.modality for case in cases.values()] == [
        Modality.CT,
        Modality.CT,
        Modality.MRI,
        Modality.MRI,
    ]
    assert [case.part for case in cases.values()] == ["train", "train", "validation", "validation"]
    assert [case.site for case in cases.values()] == ["LGCH", "LGPH", "LGCH", "LGCH"]
    assert {case.dataset for case in cases.values()} == {"amos"}
    assert source.licence == "CC-BY"


def test_labels_lie_at_their_place_under_one_name_each(amos: Dataset) -> None:
    amos.case(1, values=(6, 8, 9, 4, 15))
    case = AMOSSource(amos.outer).read("amos_0001")
    assert set(case.structures) == {"liver", "aorta", "inferior vena cava", "gallbladder", "prostate/uterus"}
    indices = np.argwhere(np.ones(SHAPE, bool))
    for number, name in enumerate(("liver", "aorta", "inferior vena cava", "gallbladder", "prostate/uterus")):
        low = np.array([2 * number, 1, 2])
        inside = ((indices >= low) & (indices < low + np.array([2, 3, 2]))).all(axis=1)
        mine = np.argwhere(case.mask(name))
        np.testing.assert_allclose(case.volume.grid.to_mm(mine), indices[inside] @ LAS[:3, :3].T + LAS[:3, 3])
    assert case.volume.array.dtype == np.int16


def test_all_fifteen_names_are_known_without_a_dataset_json(amos: Dataset) -> None:
    (amos.root / "dataset.json").unlink()
    amos.case(507, values=(1, 14))
    amos.case(1, values=(11, 12))
    source = AMOSSource(amos.root)
    assert set(source.read("amos_0507").structures) == {"spleen", "bladder"}
    assert set(source.read("amos_0001").structures) == {"right adrenal gland", "left adrenal gland"}
    assert source.licence == "CC BY 4.0"


def test_an_mri_without_bladder_and_prostate_simply_lacks_them(amos: Dataset) -> None:
    amos.case(520, values=(1, 13))
    assert set(AMOSSource(amos.outer).read("amos_0520").structures) == {"spleen", "duodenum"}


def test_pairs_are_made_by_id_and_halves_are_told(amos: Dataset) -> None:
    for number in (1, 2, 3):
        amos.case(number)
    (amos.root / "imagesTr" / "amos_0001.nii.gz").unlink()
    (amos.root / "labelsTr" / "amos_0003.nii.gz").unlink()
    source = AMOSSource(amos.outer)
    whole = source.read("amos_0002")
    np.testing.assert_array_equal(
        whole.volume.array, amos.miniature.image(amos.outer / "again.nii.gz", seed=2, affine=LAS)
    )
    faults = amos.faults()
    assert set(faults) == {"amos_0001", "amos_0003"}
    assert "has no image" in faults["amos_0001"]
    assert "has no label" in faults["amos_0003"]


def test_test_images_are_cases_only_where_they_are_labelled(amos: Dataset) -> None:
    amos.case(1)
    amos.case(2, "Ts", labelled=False)
    amos.case(3, "Ts")
    source = AMOSSource(amos.outer)
    assert source.index() == ("amos_0001", "amos_0003")
    assert source.read("amos_0003").part == "test"


def test_several_ids_of_one_person_are_one_patient(amos: Dataset) -> None:
    for number in (1, 4, 7, 11, 12, 13, 14):
        amos.case(number, "Tr" if number < 10 else "Va")
    amos.table = [
        row(4, "Aquilion ONE", "19500102", "F", "20190304"),
        row(1, "Aquilion ONE", "19600102", "M", "20190304"),
        row(7, "Aquilion ONE", "1960-01-02", "m", "20190304"),
        row(11, "Aquilion ONE", "19600102.0", "M", "20190304.0"),
        row(12, "Aquilion ONE", "19600102", "M", "20190305"),
        row(13, "Aquilion ONE", "", "M", "20190304"),
        row(14, "Aquilion ONE", "nan", "M", "20190304"),
    ]
    amos.write_table()
    source = AMOSSource(amos.outer)
    assert {name: source.read(name).patient for name in source.index()} == {
        "amos_0001": "amos_0001",
        "amos_0004": "amos_0004",
        "amos_0007": "amos_0001",
        "amos_0011": "amos_0001",
        "amos_0012": "amos_0012",  # another day
        "amos_0013": "amos_0013",  # whose birth date is missing may be anyone
        "amos_0014": "amos_0014",
    }


def test_the_lowest_id_names_a_patient_even_where_its_files_are_not_here(amos: Dataset) -> None:
    amos.case(7)
    amos.table = [row(number, "Ingenia", "19600102", "M", "20190304") for number in (2, 7)]
    amos.table[0][4] = amos.table[1][4] = "Optima CT540"
    amos.write_table()
    assert AMOSSource(amos.outer).read("amos_0007").patient == "amos_0002"


def test_doubt_about_ct_or_mri_is_refused_and_nothing_else(amos: Dataset) -> None:
    for number in (1, 2, 3, 460, 507, 508, 600, 601):
        amos.case(number)
    amos.table = [
        row(1, "Ingenia"),  # against its range
        row(2, "Discovery MR750"),  # not known: its range decides
        row(3, ""),
        row(460, "Discovery MR750"),  # not known, in no range
        row(507, "SOMATOM Force"),  # against its range
        row(508, "  philips INGENIA 3.0T "),
    ]
    amos.write_table()
    source = AMOSSource(amos.outer)
    faults = amos.faults()
    assert set(faults) == {"amos_0001", "amos_0460", "amos_0507", "amos_0601"}
    assert "MRI scanner Ingenia" in faults["amos_0001"]
    assert "are CT" in faults["amos_0001"]
    assert "'Discovery MR750' is not known" in faults["amos_0460"]
    assert "CT scanner SOMATOM Force" in faults["amos_0507"]
    assert "says nothing of it" in faults["amos_0601"]
    told = {name: source.read(name).volume.modality for name in ("amos_0002", "amos_0003", "amos_0508", "amos_0600")}
    assert list(told.values()) == [Modality.CT, Modality.CT, Modality.MRI, Modality.MRI]


def test_without_a_table_the_range_decides_and_each_case_is_a_patient(amos: Dataset) -> None:
    for number in (410, 411, 507):
        amos.case(number)
    source = AMOSSource(amos.outer)
    assert source.read("amos_0410").volume.modality is Modality.CT
    assert source.read("amos_0507").volume.modality is Modality.MRI
    assert (source.read("amos_0507").patient, source.read("amos_0507").site) == ("amos_0507", None)
    assert set(amos.faults()) == {"amos_0411"}


def test_a_persons_own_word_settles_the_modality(amos: Dataset) -> None:
    amos.case(450)
    source = AMOSSource(amos.outer, Overrides(dataset="mine", modality=Modality.MRI))
    case = source.read("amos_0450")
    assert (case.dataset, case.volume.modality) == ("mine", Modality.MRI)


@pytest.mark.parametrize("place", [".", "amos22", ".."])
def test_the_table_is_found_in_beside_and_above_the_folder(amos: Dataset, place: str) -> None:
    amos.case(450)
    amos.table = [row("amos_0450", "optima ct-660")]
    amos.write_table((amos.outer / place).resolve())
    for given in (amos.outer, amos.root):
        assert AMOSSource(given).read("amos_0450").volume.modality is Modality.CT


def test_strays_of_archives_are_no_cases(amos: Dataset) -> None:
    amos.case(1)
    for stray in (
        amos.root / "imagesTr" / "._amos_0001.nii.gz",
        amos.root / "labelsTr" / "._amos_0001.nii.gz",
        amos.root / "imagesTr" / "__MACOSX" / "amos_0002.nii.gz",
        amos.outer / "__MACOSX" / "amos22" / "imagesTr" / "._amos_0001.nii.gz",
    ):
        stray.parent.mkdir(parents=True, exist_ok=True)
        stray.write_bytes(b"\0\x05\x16\x07")
    assert AMOSSource(amos.outer).index() == ("amos_0001",)
    assert not AMOSSource.recognises(amos.outer / "__MACOSX")
    assert amos.faults() == {}


def test_other_datasets_in_the_same_folders_are_not_amos(miniature: Any, tmp_path: Path) -> None:
    miniature.msd(tmp_path, ("hippocampus_001", "amos_0001_0000"))
    assert not AMOSSource.recognises(tmp_path)
    with pytest.raises(StoreError, match="AMOS22's layout"):
        AMOSSource(tmp_path)


def test_a_case_in_two_parts_and_a_file_without_an_id_are_refused(amos: Dataset) -> None:
    amos.case(1, "Tr")
    amos.case(1, "Va")
    amos.miniature.image(amos.root / "imagesTr" / "other.nii.gz", affine=LAS)
    faults = amos.faults()
    assert "two parts, train and validation" in faults["amos_0001"]
    assert "other may be CT or MRI" in faults["other"]


@pytest.mark.parametrize(
    ("table", "columns", "words"),
    [
        ([row(1, "Prisma")], ("id", *COLUMNS[1:]), "no column amos_id"),
        ([row("first", "Prisma")], COLUMNS, "'first' is no id of AMOS"),
        ([row(1, "Prisma"), row(1, "SOMATOM Force")], COLUMNS, "two rows of the id 1"),
    ],
)
def test_a_table_that_cannot_be_trusted_is_refused(
    amos: Dataset, table: list[list[object]], columns: tuple[str, ...], words: str
) -> None:
    amos.case(1)
    amos.table = table
    amos.write_table(columns=columns)
    with pytest.raises(StoreError, match=words) as caught:
        AMOSSource(amos.outer)
    assert TABLE in str(caught.value)


def test_scanners_are_known_with_and_without_their_maker() -> None:
    assert {name: modality_of_scanner(f"Maker {name.upper()} fit") for name in SCANNERS} == SCANNERS
    assert modality_of_scanner("") is None
    assert modality_of_scanner("Optima MR450w") is None
    assert modality_of_scanner("Ingenia / Brilliance16") is None


def test_ids_beyond_the_published_ranges_tell_nothing() -> None:
    told = {number: modality_of_id(number) for number in (0, 1, 410, 411, 506, 507, 600, 601, 5000)}
    assert told == {
        0: None,
        1: Modality.CT,
        410: Modality.CT,
        411: None,
        506: None,
        507: Modality.MRI,
        600: Modality.MRI,
        601: None,
        5000: None,
    }


def test_a_prepared_store_keeps_parts_sites_and_patients(amos: Dataset, tmp_path: Path) -> None:
    for number, end in ((1, "Tr"), (2, "Va"), (507, "Tr"), (450, "Tr")):
        amos.case(number, end)
    amos.table = [row(number, "Brilliance16", "1950", "F", "2019", "A") for number in (1, 2)]
    amos.write_table()
    store = Store.create(tmp_path / "store")
    report = prepare(AMOSSource(amos.outer), store)
    assert report.added == ("amos_0001", "amos_0002", "amos_0507")
    assert list(report.failed) == ["amos_0450"]
    first, second = store.record("amos_0001"), store.record("amos_0002")
    assert first.person == second.person == ("amos", "amos_0001")
    assert (first.part, second.part, first.site) == ("train", "validation", "A")
    assert store.record("amos_0507").modality is Modality.MRI
