"""A user's names stay theirs unless their meaning is certain, and every change is on record."""

from pathlib import Path
from typing import Any

import pytest

from segevolution.data.sources.naming import parse_channel, slug
from segevolution.data.sources.structure_names import structure_names
from segevolution.errors import StoreError, VocabularyError
from segevolution.vocabulary import Modality, require_known

HERE = Path("dataset.json")


def names_of(labels: dict[str, Any], title: str = "", **own: str) -> dict[str, tuple[int, ...]]:
    return dict(structure_names(labels, HERE, names=own, title=title).values)


@pytest.mark.parametrize(
    ("labels", "title", "expected"),
    [
        ({"LAD": 1, "LCX": 2, "RCA": 3}, "coronaries", {"lad", "lcx", "rca"}),
        ({"LAD": 1, "LV": 2, "RV": 3, "myo": 4}, "", {"lad", "left ventricle", "right ventricle", "myocardium"}),
        ({"aorta": 1, "heart": 2, "LAD": 3}, "", {"aorta", "heart", "lad"}),
        (
            {"spleen": 1, "liver": 2, "rad": 3, "lad": 4},
            "",
            {"spleen", "liver", "right adrenal gland", "left adrenal gland"},
        ),
        ({"kidney": 1, "Cortex": 2, "medulla": 3}, "kidneys", {"kidney", "cortex", "medulla"}),
        (
            {"Cortex": 1, "white matter": 2, "CSF": 3, "thalamus": 4},
            "",
            {"cerebral cortex", "cerebral white matter", "cerebrospinal fluid", "thalamus"},
        ),
        ({"anterior": 1, "posterior": 2}, "deltoid", {"anterior", "posterior"}),
        (
            {"Anterior": 1, "Posterior": 2},
            "Task04_Hippocampus",
            {"anterior hippocampus", "posterior hippocampus", "hippocampus"},
        ),
        ({"LV": 1, "CSF": 2, "thalamus": 3}, "", {"lv", "csf", "thalamus"}),
        ({"LV": 1}, "", {"lv"}),
        ({"LA": 1}, "2018 Atrial Challenge", {"left atrium"}),
        ({"veins": 1, "liver": 2, "spleen": 3}, "", {"veins", "liver", "spleen"}),
        ({"Arota": 1, "kidney_right": 2}, "", {"aorta", "right kidney"}),
    ],
)
def test_a_name_changes_only_where_its_context_is_certain(
    labels: dict[str, int], title: str, expected: set[str]
) -> None:
    assert names_of(labels, title).keys() == expected


def test_two_names_never_become_one_structure() -> None:
    named = structure_names({"LV": 1, "Left Ventricle": 2, "RV": 3, "Myo": 4}, HERE, title="heart")
    assert named.values == {"lv": (1,), "left ventricle": (2,), "right ventricle": (3,), "myocardium": (4,)}
    assert any("may both be left ventricle" in decision.text for decision in named.decisions)


def test_one_name_for_two_values_is_one_structure_and_said() -> None:
    named = structure_names({"1": "liver", "2": "Liver", "3": "spleen"}, HERE)
    assert named.values == {"liver": (1, 2), "spleen": (3,)}
    assert [decision.kind for decision in named.decisions] == ["merged"]


@pytest.mark.parametrize(
    ("labels", "union"),
    [
        ({"pz": 1, "tz": 2}, (1, 2)),
        ({"PZ": 1, "TZ": 2, "AFS": 3}, (1, 2, 3)),
        ({"PZ": 1, "TZ": 2, "CZ": 3, "AFS": 4, "bladder": 5}, (1, 2, 3, 4)),
        ({"PZ": 1, "TZ": 2, "rectum": 3}, (1, 2)),
        ({"PZ": 1, "TZ": 2, "lesion": 3}, None),
        ({"PZ": 1, "TZ": 2, "urethra": 3}, None),
        ({"PZ": 1, "TZ": 2, "lesion": [1]}, (1, 2)),
    ],
)
def test_a_union_leaves_no_part_out(labels: dict[str, Any], union: tuple[int, ...] | None) -> None:
    named = structure_names(labels, HERE, title="prostate")
    assert named.values.get("prostate") == union
    assert any(decision.kind == ("union" if union else "no union") for decision in named.decisions)


def test_every_change_is_on_record() -> None:
    named = structure_names({"Arota": 1, "PZ": 2, "TZ": 3}, HERE)
    texts = [decision.text for decision in named.decisions]
    assert '"Arota" is called aorta' in texts
    assert '"PZ" is called prostate peripheral zone' in texts
    assert any('"prostate" is added' in text for text in texts)


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ({"liver": "1", "spleen": "2"}, {"liver": (1,), "spleen": (2,)}),
        ({"1": "liver", "2": "spleen"}, {"liver": (1,), "spleen": (2,)}),
        ({"liver": 1.0, "organs": ["1", 2]}, {"liver": (1,), "organs": (1, 2)}),
        ({"background": 0, "liver": 1, "ignore": 2}, {"liver": (1,)}),
        ({"0": "air", "1": "liver"}, {"liver": (1,)}),
    ],
)
def test_numbers_may_stand_in_quotes(labels: dict[str, Any], expected: dict[str, tuple[int, ...]]) -> None:
    assert names_of(labels) == expected


@pytest.mark.parametrize(
    "labels", [{"²": "x"}, {"liver": "one"}, {"liver": 1.5}, {"liver": -1}, {"liver": []}, {}, None]
)
def test_labels_that_are_none_are_one_sentence(labels: Any) -> None:
    with pytest.raises(StoreError, match=r"neither value to name nor name to value|has no \"labels\""):
        structure_names(labels, HERE)


@pytest.mark.parametrize(
    ("word", "structure"),
    [("LAD", "left adrenal gland"), ("veins", "portal and splenic vein"), ("cortex", "cerebral cortex")],
)
def test_an_abbreviation_or_a_part_of_a_name_is_no_prompt(word: str, structure: str) -> None:
    with pytest.raises(
        VocabularyError, match=f'"{word}" alone may mean several structures; did you mean "{structure}"'
    ):
        require_known(word, [structure, "liver"])
    assert require_known(word, [word.lower(), structure]) == word.lower()
    assert require_known("IVC", ["inferior vena cava"]) == "inferior vena cava"


def test_a_label_without_a_name_is_refused_and_two_names_of_one_label_are_on_record() -> None:
    with pytest.raises(StoreError, match="has no name"):
        structure_names({"": 1}, Path("labels.json"))
    shared = structure_names({"liver": 1, "spleen": 1}, Path("labels.json"))
    assert shared.values == {"liver": (1,), "spleen": (1,)}
    assert [decision.kind for decision in shared.decisions] == ["same label"]


def test_a_background_that_is_not_0_is_refused() -> None:
    with pytest.raises(StoreError, match="calls 1 the background, which is 0 in a label map"):
        structure_names({"background": 1, "liver": 0}, Path("dataset.json"))


@pytest.mark.parametrize(
    ("labels", "title"),
    [
        ({"LV": 1, "RV": 2}, "brain ventricles"),
        ({"LA": 1}, "pediatric spine"),
        ({"cortex": 1, "medulla": 2}, "kidneys of the brainlab"),
    ],
)
def test_a_part_of_a_word_in_a_title_tells_no_region(labels: dict[str, int], title: str) -> None:
    assert names_of(labels, title).keys() == {name.lower() for name in labels}


def test_a_title_tells_a_region_by_whole_words_however_they_are_joined() -> None:
    for title in ("Task02_HeartAtria", "ACDC2017", "M&Ms", "cardiac_mr"):
        assert names_of({"LV": 1, "RV": 2}, title).keys() == {"left ventricle", "right ventricle"}
    assert "hippocampus" in names_of({"anterior": 1, "posterior": 2}, "brain hippocampus")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Swiss CT", (Modality.CT, None)),
        ("Cine CT", (Modality.CT, None)),
        ("T12 CT spine", (Modality.CT, None)),
        ("PDAC", (None, None)),
        ("MRI", (Modality.MRI, "T2-SPIR")),
        ("T1Gd", (Modality.MRI, "T1-CE")),
        ("T2 MR", (Modality.MRI, "T2 MR")),
        ("t2_fs", (Modality.MRI, "t2_fs")),
        ("PDw", (Modality.MRI, "PDw")),
    ],
)
def test_a_channel_is_told_by_whole_words(text: str, expected: tuple[Modality | None, str | None]) -> None:
    assert parse_channel(text, "CHAOS T2-SPIR") == expected


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("CHAOS T2-SPIR", "chaos_t2_spir"),
        ("肝脏", "肝脏"),
        ("Mu\u0308ller", "m\u00fcller"),
        ("Möller", "möller"),
        ("हिन्दी 1", "हिन्दी_1"),
    ],
)
def test_a_name_keeps_the_letters_of_every_script(text: str, name: str) -> None:
    assert slug(text) == name
