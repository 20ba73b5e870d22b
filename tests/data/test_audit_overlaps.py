"""What a base model was trained on is known by name, and held against its own recipe."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml

import segevolution
from segevolution.data.audit import check
from segevolution.data.audit.overlaps import BASES, MINI_HELD_OUT, base_of, seen_by
from segevolution.data.record import CaseRecord, record_of
from segevolution.data.store import Store
from segevolution.errors import VocabularyError
from segevolution.imaging.case import Case
from segevolution.imaging.grid import Grid
from segevolution.imaging.volume import Volume
from segevolution.vocabulary import Modality


def case(name: str, dataset: str, modality: Modality | None) -> Case:
    signal = np.arange(120, dtype=np.int16).reshape(6, 5, 4) + len(name)
    volume = Volume(signal, Grid(signal.shape, np.diag([2, 2, 2, 1])), modality, name)
    return Case(name, name, dataset, volume, (signal > 100).astype(np.uint8), {"liver": (1,)})


def record(dataset: str, modality: Modality | None, patient: str = "p") -> CaseRecord:
    made = case(patient, dataset, modality)
    return record_of(made, made.volume.grid)


@pytest.mark.parametrize(
    "dataset",
    ["btcv", "BTCV-abdomen", "chaos_ct", "amos22", "Task03_Liver", "flare22", "kits19", "word", "0007", "lung"],
)
def test_segvol_saw_the_ct_of_m3d_seg(dataset: str) -> None:
    assert seen_by("segvol", dataset, record("ct", Modality.CT)) is not None
    assert seen_by("segvol", "any", record(dataset.lower().replace("-", "_"), Modality.CT)) is not None


@pytest.mark.parametrize("dataset", ["acdc", "promise12", "saml", "brats21", "hippocampus", "swordfish", "sim_torso"])
def test_segvol_did_not_see_others(dataset: str) -> None:
    assert seen_by("segvol", dataset, record(dataset, Modality.MRI)) is None
    assert seen_by("segvol", dataset, record(dataset, Modality.CT)) is None


def test_chaos_mri_is_new_to_segvol_and_amos_mri_is_not() -> None:
    assert seen_by("segvol", "chaos", record("chaos", Modality.MRI)) is None
    assert seen_by("segvol", "chaos", record("chaos", None)) is not None
    assert "39 of its MRIs" in (seen_by("segvol", "amos22", record("amos22", Modality.MRI)) or "")


@pytest.mark.parametrize("base", ["segvol-mini", "segvol-mini-2", "segvol-mini-3"])
def test_the_table_of_a_shipped_base_is_its_recipe(base: str) -> None:
    folder = Path(segevolution.__file__).parent
    recipe = yaml.safe_load((folder / f"pretraining/trainings/{base.replace('-', '_')}.yaml").read_text("utf-8"))
    for entry in recipe["data"]:
        held_out = set(entry.get("validation", []))
        for patient in {"anyone", *held_out}:
            what = seen_by(base, entry["name"], record(entry["name"], Modality.CT, patient))
            assert (what is None) == (patient in held_out), (entry["name"], patient)
    assert {patient for entry in recipe["data"] for patient in entry.get("validation", [])} == MINI_HELD_OUT
    assert all(seen_by(base, name, record(name, Modality.MRI)) is None for name in ("labels_head", "chaos"))


def test_a_base_is_known_by_its_name_or_folder() -> None:
    assert base_of("BAAI/SegVol") == "segvol"
    assert base_of("runs/mine/segvol-mini/") == "segvol-mini"
    assert base_of("runs/mine/model") is None
    assert base_of("blueyo0/SAM-Med3D") == base_of("models/sam_med3d") == "sam-med3d"
    assert set(BASES) == {
        "segvol",
        "segvol-mini",
        "segvol-mini-2",
        "segvol-mini-3",
        "segvol-mini-mri",
        "litemedsam",
        "medsam",
        "sam-med3d",
    }


def test_what_the_sam_family_saw() -> None:
    def seen(base: str, dataset: str, modality: Modality) -> bool:
        return seen_by(base, dataset, record(dataset, modality)) is not None

    assert seen("sam-med3d", "chaos", Modality.MRI)
    assert seen("sam-med3d", "promise12", Modality.MRI)
    assert not seen("sam-med3d", "btcv", Modality.CT)
    assert not seen("litemedsam", "chaos", Modality.MRI)
    assert not seen("litemedsam", "btcv", Modality.CT)
    assert seen("litemedsam", "amos22", Modality.MRI)
    assert seen("litemedsam", "ct_torso", Modality.CT)
    assert not seen("litemedsam", "acdc", Modality.MRI)


def test_overlaps_are_findings_for_each_part(tmp_path: Path) -> None:
    store = Store.create(tmp_path / "s")
    for number, name in enumerate(("btcv_00", "btcv_01", "btcv_04", "new")):
        made = case(name, "btcv" if name != "new" else "mine", Modality.CT)
        made.volume.array[:] = np.random.default_rng(number).integers(-1000, 900, (6, 5, 4))
        store.add(replace(made, labels=made.labels))
    (finding,) = (finding for finding in check([store], base="segvol-mini").findings if finding.check == "overlap")
    assert finding.severity == "warning"
    assert finding.cases == ("s/btcv_00", "s/btcv_01")
    assert finding.message.startswith("2 of 3 cases of btcv were, or may have been, in the training of segvol-mini")
    with pytest.raises(VocabularyError, match='did you mean "segvol-mini"'):
        check([store], base="segvol-min")


def test_a_base_whose_training_is_known_in_part_is_said_to_be(tmp_path: Path) -> None:
    store = Store.create(tmp_path / "s")
    store.add(case("p", "chaos", Modality.MRI))
    (finding,) = (finding for finding in check([store], base="litemedsam").findings if finding.check == "overlap")
    assert finding.severity == "note"
    assert "distilled from MedSAM" in finding.message
