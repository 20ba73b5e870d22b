"""One person is one patient, by the naming schemes that datasets have; and what is in doubt is said."""

import json
from pathlib import Path

import pytest

from segevolution.data.sources.patients import group_patients, patient_of
from segevolution.errors import StoreError

ONE_PERSON = {
    "BIDS sessions, runs, acquisitions": ["sub-00_ses-pre_T1w", "sub-00_ses-pre_T2w", "sub-00_acq-ax_run-2_T1w"],
    "BraTS 2023": ["BraTS-GLI-00017-000", "BraTS-GLI-00017-001", "BraTS-GLI-00017-001-t1n"],
    "ACDC": ["patient001_frame01", "patient001_frame12"],
    "OASIS": ["OAS1_0066_MR1", "OAS1_0066_MR2_T1"],
    "ADNI": ["ADNI_002_S_0295_MR_2006-04-18", "002_S_0295_2008"],
    "PI-CAI": ["10000_1000000_t2w", "10000_1000007_adc"],
    "TCGA": ["TCGA-02-0003-01_1996.06.17", "TCGA-02-0003"],
    "HNTS-MRG": ["2_preRT_T2", "2_midRT_T2"],
    "SPIDER": ["1_t1", "1_t2", "1_t2_SPACE"],
    "M&Ms": ["A0S9V9_sa_ED", "A0S9V9_sa_ES"],
    "autoPET": ["psma_95b833d65be26d2f_2018-04-23", "psma_95b833d65be26d2f_2019-05-02"],
    "dates": ["MR1234_20180423", "MR1234_20190611"],
    "LUMIERE": ["Patient-001_week-000-1", "Patient-001_week-044"],
    "HaN-Seg": ["case_01_IMG_CT", "case_01_IMG_MR_T1"],
    "sides": ["knee_001_L", "knee_001_R"],
    "time points": ["P01_tp0", "P01_tp1", "P01_followup2"],
    "sequence in front": ["T1_P01", "T2_P01"],
    "contrast phases": ["case_0012_arterial", "case_0012_venous", "case_0012_noncontrast"],
    "a modality behind": ["subj07_CT", "subj07_MR"],
}

OWN_PEOPLE = {
    "numbered scans": [f"CT_scan_{number:03d}" for number in range(8)],
    "numbered volumes": [f"volume-{number}" for number in range(12)],
    "a plain count": [f"case_{number:04d}" for number in range(30)],
    "Decathlon": ["hippocampus_001", "hippocampus_003", "hippocampus_004", "hippocampus_010", "hippocampus_011"],
    "la": ["la_003", "la_004", "la_005"],
    "FLARE": [f"FLARE22_Tr_{number:04d}" for number in range(1, 9)],
    "TotalSegmentator": ["s0001", "s0002", "s0011"],
    "CT and MR of one number": ["ct_train_1001", "mr_train_1001"],
    "words": ["liver", "spleen", "a", "b"],
    "phases in front": ["phase_1", "phase_2", "t1", "t2"],
}


@pytest.mark.parametrize("names", ONE_PERSON.values(), ids=ONE_PERSON)
def test_scans_of_one_person_are_of_one_patient(names: list[str]) -> None:
    assert len(set(group_patients(names).patients.values())) == 1


@pytest.mark.parametrize("names", OWN_PEOPLE.values(), ids=OWN_PEOPLE)
def test_people_are_not_taken_for_one_another(names: list[str]) -> None:
    grouping = group_patients(names)
    assert len(set(grouping.patients.values())) == len(names)
    assert grouping.doubt is None


def test_digits_that_count_up_within_others_are_visits_and_in_doubt() -> None:
    grouping = group_patients(["case_0800", "case_0801", "case_0900", "case_0901", "case_1000"])
    assert len(set(grouping.patients.values())) == 3
    assert grouping.patients["case_0800"] == grouping.patients["case_0801"]
    assert grouping.sentence == (
        "5 files, 3 patients: grouped by their names without the last digit (case_0800 is of case_080); the last digit "
        "was taken for a visit, counting up from 0 within each number before: if that is wrong, --patient-from takes a "
        "regular expression or a table of names and patients"
    )


@pytest.mark.parametrize(
    ("names", "patients"),
    [
        (["training01_01", "training01_02", "training02_01"], 2),
        (["case_012a", "case_012b", "case_014a"], 2),
        (["anna_scan_1", "anna_scan_2", "ben_scan_1"], 2),
        ([f"site1_{number:03d}" for number in range(1, 9)] + [f"site2_{number:03d}" for number in range(1, 9)], 16),
    ],
)
def test_what_names_leave_open_is_decided_and_said(names: list[str], patients: int) -> None:
    grouping = group_patients(names)
    assert len(set(grouping.patients.values())) == patients
    assert grouping.doubt
    assert "--patient-from" in grouping.sentence


@pytest.mark.parametrize(
    ("names", "patients"),
    [
        (["DOE^JOHN_1", "DOE^JOHN_2", "ROE^JANE_1"], 2),
        (["1.2.840.3.4_a", "1.2.840.3.4_b"], 1),
        (["case_012_a", "case_012_b", "case_014_a"], 2),
        (["case_0800", "case_0801"], 2),
        (["P01_1", "P01_2"], 2),
        (["smith_a", "smith_b"], 2),
        (["smith_1", "smith_2", "jones_1"], 3),
        (["Anna1", "Anna2", "Anna3"], 3),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else str(value),
)
def test_names_that_share_their_beginning_are_in_doubt(names: list[str], patients: int) -> None:
    grouping = group_patients(names)
    assert len(set(grouping.patients.values())) == patients
    assert grouping.sentence.startswith(f"{len(names)} files, {patients} patient")
    assert "if that is wrong, --patient-from takes" in grouping.sentence


def test_all_files_of_one_patient_are_in_doubt() -> None:
    assert group_patients(["P1_T1", "P1_T2", "P1_FLAIR"]).doubt == "all files are of one patient"
    assert group_patients(["P1_T1"]).doubt is None


def test_a_person_says_who_is_who(tmp_path: Path) -> None:
    names = ["a_1", "a_2", "b_1"]
    assert group_patients(names, "^(.)_").patients == {"a_1": "a", "a_2": "a", "b_1": "b"}
    (tmp_path / "who.csv").write_text("file,patient\na_1.nii.gz,P1\na_2,P2\nb_1,P1\n")
    (tmp_path / "who.tsv").write_text("a_1\tP1\na_2\tP2\nb_1\tP1\n")
    (tmp_path / "who.json").write_text(json.dumps({"a_1": "P1", "a_2": "P2", "b_1": "P1"}))
    for table in ("who.csv", "who.tsv", "who.json"):
        assert group_patients(names, str(tmp_path / table)).patients == {"a_1": "P1", "a_2": "P2", "b_1": "P1"}


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("(", "tells no patients"),
        ("abc", "tells no patients"),
        ("(" * 500, "tells no patients"),
        ("x" * 2000, "tells no"),
        ("xyz", "tells no patients"),
    ],
)
def test_a_bad_expression_is_one_sentence(text: str, sentence: str) -> None:
    with pytest.raises(StoreError, match=sentence):
        group_patients(["abc"], text)


@pytest.mark.parametrize("text", ["^(Q[0-9]+)", "^(P[0-9]+)", "^(P?)"])
def test_an_expression_that_says_nothing_of_a_name_is_refused(text: str) -> None:
    with pytest.raises(StoreError, match=r'"\^\(.*" names no patient of .*p02_v1, p02_v2; write one whose group'):
        group_patients(["P01_v1", "p02_v1", "p02_v2"], text)


def test_a_bad_table_is_one_sentence(tmp_path: Path) -> None:
    table = tmp_path / "who.csv"
    for content, sentence in (
        ("a,P1\n", "names no patient of b"),
        ("a\nb\n", "needs a file's name and a patient"),
        ("a,P1\na,P2\nb,P1\n", "gives a two patients"),
    ):
        table.write_text(content)
        with pytest.raises(StoreError, match=sentence):
            group_patients(["a", "b"], str(table))
    with pytest.raises(StoreError, match="cannot be read as a table"):
        group_patients(["a"], str(tmp_path / "nothing.csv"))
    assert patient_of("sub-3_T1w") == "sub-3"


@pytest.mark.parametrize("names", [("Subject12visit1", "Subject12visit2"), ("P3scan1_T1w", "P3scan2_T1w")])
def test_a_visit_glued_to_the_number_before_it_is_left_off(names: tuple[str, str]) -> None:
    grouping = group_patients([*names, "Q77"])
    assert grouping.patients[names[0]] == grouping.patients[names[1]] != grouping.patients["Q77"]


@pytest.mark.parametrize("name", ["P3scan1_foo", "t2scan1"])
def test_a_glued_word_that_is_not_left_off_leaves_the_name_as_it_is(name: str) -> None:
    assert patient_of(name) == name
    assert group_patients([name, "Q77"]).rule == "their whole names"


@pytest.mark.parametrize("stem", ["site{}_scan{:03d}", "h{}_vol{:02d}", "{}_3t_image_{:03d}"])
def test_a_number_that_counts_many_files_is_a_persons_and_in_doubt(stem: str) -> None:
    names = [stem.format(site, number) for site in (1, 2) for number in range(12)]
    grouping = group_patients(names)
    assert len(set(grouping.patients.values())) == 24
    assert "counts many files" in str(grouping.doubt)


@pytest.mark.parametrize("stem", ["lits17_volume_{:03d}", "2021_scan_{:03d}", "center1_m{:03d}"])
def test_a_wide_number_of_few_files_is_in_doubt(stem: str) -> None:
    names = [*(stem.format(number) for number in range(5)), "kits19_volume_000", "kits19_volume_001"]
    assert "taken for scans of one patient" in str(group_patients(names).doubt)


@pytest.mark.parametrize(
    "names",
    [
        ["P01_T1", "p01_T2"],
        ["P-01_T1", "P_01_T2"],
        ["P1_T1", "P01_T2"],
        ["M\u00fcller1_T1", "Mu\u0308ller1_T2"],
    ],
)
def test_one_person_in_two_spellings_is_one_patient(names: list[str]) -> None:
    grouping = group_patients([*names, "Q07_T1"])
    assert len({grouping.patients[name] for name in names}) == 1
    assert len(set(grouping.patients.values())) == 2


def test_leading_zeros_that_tell_two_files_apart_may_tell_two_people_apart() -> None:
    grouping = group_patients(["P1_T1", "P01_T1"])
    assert grouping.patients == {"P1_T1": "P1", "P01_T1": "P01"}
    assert "P1 and P01 were taken for 2 patients" in str(grouping.doubt)
