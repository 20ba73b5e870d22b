"""M3D-Seg's layout: read as it is published, and written so that SegVol's own code can read it."""

import ast
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import sparse

from segevolution.data.m3d_export import Normalisation, export_m3d_seg
from segevolution.data.m3d_seg import read_masks, shape_of_name
from segevolution.data.prepare import prepare
from segevolution.data.sources import Overrides, open_source
from segevolution.data.sources.m3d_seg import M3DSegSource
from segevolution.data.splits import Split
from segevolution.data.store import Store
from segevolution.errors import OutputError, StoreError, VolumeError
from segevolution.imaging.case import Case, label_map
from segevolution.imaging.grid import Grid
from segevolution.imaging.intensity import foreground_normalise
from segevolution.imaging.volume import Volume
from segevolution.vocabulary import Modality

SHAPE = (5, 6, 4)
LABELS = {"0": "background", "1": "spleen", "2": "arota", "3": "postcava"}


def random_mask(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).random(SHAPE) < 0.3


def item(root: Path, code: str, case: str, masks: list[np.ndarray]) -> dict[str, Any]:
    """One case as SegVol's preparation writes it: int32 masks, the name given to scipy without its suffix."""
    folder = root / code / case
    folder.mkdir(parents=True)
    image = np.random.default_rng(len(case)).normal(size=(1, *SHAPE)).astype(np.float32)
    np.save(folder / "image.npy", image)
    stacked = np.stack(masks).astype(np.int32)
    name = f"mask_{stacked.shape}"
    sparse.save_npz(folder / name, sparse.csr_matrix(stacked.reshape(len(stacked), -1)))
    return {"image": f"{code}/{case}/image.npy", "label": f"{code}/{case}/{name}.npz"}


def header(root: Path, code: str, labels: dict[str, str], name: str | None = None, **more: Any) -> None:
    (root / code / f"{name or code}.json").write_text(json.dumps({"name": code, "labels": labels} | more))


@pytest.fixture
def published(tmp_path: Path) -> Path:
    """Code 0002 with a CT and an MR that its json calls CT, code 0020, and what archives leave lying about."""
    root = tmp_path / "M3D_Seg"
    nothing = np.zeros(SHAPE, bool)
    first = item(root, "0002", "amos_0410", [random_mask(1), random_mask(2), nothing])
    second = item(root, "0002", "amos_0507", [random_mask(3), nothing, random_mask(4)])
    header(root, "0002", LABELS, modality={"0": "CT"}, train=[first], test=[second])
    liver = item(root, "0020", "liver_0", [random_mask(5), random_mask(6)])
    header(root, "0020", {"0": "background", "1": "liver", "2": "tumor"}, train=[liver], test=[])
    (root / "__MACOSX" / "0020").mkdir(parents=True)
    (root / "__MACOSX" / "0020" / "._0020.json").write_bytes(b"\x00\x05\x16\x07")
    (root / "0020" / "._0020.json").write_bytes(b"\x00\x05\x16\x07")
    (root / "readme.json").write_text("[]")
    return root


def test_a_published_case_is_read_voxel_by_voxel(published: Path) -> None:
    source = open_source("auto", published)
    assert isinstance(source, M3DSegSource)
    assert source.index() == ("m3d_0002_amos_0410", "m3d_0002_amos_0507", "m3d_0020_liver_0")
    case = source.read("m3d_0002_amos_0410")
    np.testing.assert_array_equal(case.volume.array, np.load(published / "0002" / "amos_0410" / "image.npy")[0])
    assert case.volume.array.dtype == np.float32
    np.testing.assert_array_equal(case.mask("spleen"), random_mask(1))
    np.testing.assert_array_equal(case.mask("aorta"), random_mask(2))
    assert (random_mask(1) & random_mask(2)).any(), "the masks of this test must overlap"
    assert (case.dataset, case.patient, case.part) == ("m3d_0002", "amos_0410", "train")


def test_an_all_zero_row_is_an_absent_structure(published: Path) -> None:
    source = M3DSegSource(published)
    assert source.read("m3d_0002_amos_0410").structures.keys() == {"spleen", "aorta"}
    assert source.read("m3d_0002_amos_0507").structures.keys() == {"spleen", "inferior vena cava"}


def test_mr_of_amos_is_told_by_its_number_whatever_the_json_says(published: Path) -> None:
    source = M3DSegSource(published / "0002")
    assert source.read("m3d_0002_amos_0507").volume.modality is Modality.MRI
    assert source.read("m3d_0002_amos_0410").volume.modality is Modality.CT
    assert source.read("m3d_0002_amos_0507").part == "test"
    told = M3DSegSource(published / "0002", Overrides(modality=Modality.PET))
    assert told.read("m3d_0002_amos_0507").volume.modality is Modality.PET


def test_a_tumour_is_that_of_the_codes_organ(published: Path) -> None:
    case = M3DSegSource(published / "0020").read("m3d_0020_liver_0")
    assert case.structures.keys() == {"liver", "liver tumour"}
    assert case.volume.modality is Modality.CT, "M3D-Seg is CT where nothing is said"


def test_a_case_without_geometry_says_so(published: Path) -> None:
    volume = M3DSegSource(published).read("m3d_0020_liver_0").volume
    np.testing.assert_array_equal(volume.grid.affine, np.eye(4))
    assert volume.origin is not None
    assert volume.origin.format == "npy"


def test_several_codes_become_datasets_of_one_store_and_stay(published: Path, tmp_path: Path) -> None:
    store = Store.ensure(tmp_path / "store")
    source = M3DSegSource(published)
    assert source.dataset == "m3d_seg"
    assert len(prepare(source, store).added) == 3
    again = prepare(source, store)
    assert (len(again.kept), again.failed) == (3, {})
    assert store.datasets.keys() == {"m3d_0002", "m3d_0020"}
    assert store.record("m3d_0020_liver_0").dataset == "m3d_0020"
    with pytest.raises(StoreError, match=r"several datasets \(0002, 0020\)"):
        M3DSegSource(published, Overrides("mine"))


def test_layout_of_amss_readers(tmp_path: Path) -> None:
    """`dataset.json`, paths below its own folder, modalities by number, masks whose name tells no shape."""
    entries = []
    for case, modality in (("s1", "0"), ("s2", 1), ("s3", "MRI")):
        entry = item(tmp_path, "mixed", case, [random_mask(7)])
        (tmp_path / entry["label"]).rename(tmp_path / "mixed" / case / "label.npz")
        entries.append({"image": f"{case}/image.npy", "label": f"{case}/label.npz", "modality": modality})
    header(
        tmp_path,
        "mixed",
        {"0": "background", "1": "liver"},
        name="dataset",
        modality={"0": "CT", "1": "MRI"},
        training=entries[:1],
        validation=entries[1:2],
        test=entries[2:],
    )
    source = open_source("auto", tmp_path / "mixed")
    cases = [source.read(f"mixed_s{number}") for number in (1, 2, 3)]
    assert [case.volume.modality for case in cases] == [Modality.CT, Modality.MRI, Modality.MRI]
    assert [case.part for case in cases] == ["train", "validation", "test"]
    np.testing.assert_array_equal(cases[1].mask("liver"), random_mask(7))


def test_paths_that_were_absolute_elsewhere_are_found_in_the_codes_folder(tmp_path: Path) -> None:
    entry = item(tmp_path, "own", "a", [random_mask(0)])
    moved = {key: f"/data/elsewhere/{path}" for key, path in entry.items()}
    header(tmp_path, "own", {"0": "background", "1": "liver"}, train=[moved])
    np.testing.assert_array_equal(M3DSegSource(tmp_path).read("own_a").mask("liver"), random_mask(0))


def test_bad_cases_are_one_sentence_each(tmp_path: Path) -> None:
    good, bad = random_mask(0), [random_mask(1)]
    entries = {
        name: item(tmp_path, "c", name, bad) for name in ("cut", "many", "lost", "wrong", "nan", "text", "twice")
    }
    folder = tmp_path / "c"
    cut = folder / "cut" / f"mask_{(1, *SHAPE)}.npz"
    cut.write_bytes(cut.read_bytes()[:50])
    (folder / "lost" / "image.npy").unlink()
    np.save(folder / "wrong" / "image.npy", np.arange(120, dtype=np.float32).reshape(1, 6, 5, 4))
    np.save(folder / "nan" / "image.npy", np.full((1, *SHAPE), np.nan, np.float32))
    np.save(folder / "text" / "image.npy", np.array(["a", "b"]), allow_pickle=False)
    entries["many"] = item(tmp_path, "c", "many2", [good, good])
    header(tmp_path, "c", {"0": "background", "1": "liver"}, train=list(entries.values()), test=[entries["twice"]])
    source = M3DSegSource(tmp_path)
    reasons = {
        "c_cut": "is no sparse matrix",
        "c_lost": "which is missing",
        "c_wrong": "do not belong together",
        "c_nan": "NaN or infinity",
        "c_text": "no array of numbers",
        "c_many2": "has 2 masks, but .* names 1 structures",
        "c_twice": r"more than once \(train, test\)",
    }
    assert set(source.index()) == reasons.keys()
    for case, reason in reasons.items():
        with pytest.raises((StoreError, VolumeError), match=reason):
            source.read(case)


def test_pickles_are_never_loaded(tmp_path: Path) -> None:
    entry = item(tmp_path, "c", "a", [random_mask(0)])
    np.save(tmp_path / entry["image"], np.array([{"a": 1}], object), allow_pickle=True)
    np.savez(tmp_path / entry["label"], format=np.array("csr"), data=np.array([{}], object), allow_pickle=True)
    header(tmp_path, "c", {"0": "background", "1": "liver"}, train=[entry])
    with pytest.raises(StoreError, match=r"cannot be read as an \.npy of numbers"):
        M3DSegSource(tmp_path).read("c_a")
    with pytest.raises(StoreError, match="no sparse matrix"):
        read_masks(tmp_path / entry["label"], SHAPE)


def test_a_masks_shape_is_its_name() -> None:
    assert shape_of_name("mask_(13, 512, 512, 96).npz") == (13, 512, 512, 96)
    assert shape_of_name("mask_(13,512,512,96).npz") == (13, 512, 512, 96)
    assert shape_of_name("label.npz") is None


# ---- export


def made_case(name: str, modality: Modality, masks: dict[str, np.ndarray], seed: int = 0, **more: Any) -> Case:
    """A case whose file's axes are neither in order nor rising, so that the store turns them."""
    array = np.random.default_rng(seed).integers(-500, 900, SHAPE).astype(np.int16)
    affine = np.array([[0, 0, -2.0, 9], [-1.5, 0, 0, 4], [0, 3.0, 0, -7], [0, 0, 0, 1]])
    labels, structures = label_map(masks)
    facts = {"patient": name, "dataset": "clinic"} | more
    return Case(
        name=name, volume=Volume(array, Grid(SHAPE, affine), modality, name), labels=labels, structures=structures,
        **facts,
    )  # fmt: skip


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Three patients, overlapping masks, one structure absent in each."""
    made = Store.ensure(tmp_path / "store")
    zones = {"prostate": random_mask(1), "prostate peripheral zone": random_mask(1) & random_mask(2)}
    made.add(made_case("p1", Modality.MRI, zones, seed=1, sequence="T2", site="Here", patient="anna", part="test"))
    made.add(made_case("p2", Modality.MRI, {"prostate": random_mask(3)}, seed=2))
    made.add(made_case("p3", Modality.MRI, {"bladder": random_mask(4), "renal cyst": random_mask(9)}, seed=3))
    made.describe("clinic", {"licence": "CC0"})
    return made


def as_segvol_reads(root: Path, code: str, part: str) -> list[tuple[np.ndarray, np.ndarray, list[str]]]:
    """Images (X, Y, Z), masks (K, X, Y, Z) and names, in the steps that SegVol's loaders take; numpy and scipy only."""
    told = json.loads((root / code / f"{code}.json").read_text("utf-8"))
    names = list(told["labels"].values())
    names.remove("background")
    found = []
    for pair in told[part]:
        image, label = str(root / pair["image"]), str(root / pair["label"])
        shape = ast.literal_eval(label.split(".")[-2].split("_")[-1])
        assert shape == ast.literal_eval(label.split("_")[-1].replace(".npz", "")), "the newer loader's way"
        assert len(list(Path(image).parent.iterdir())) == 2, "its preparation counts the files of a case"
        array = np.load(image)
        assert array.dtype == np.float32
        assert array.shape == (1, *shape[1:])
        found.append((array[0], sparse.load_npz(label).toarray().reshape(shape), names))
    return found


def test_segvols_own_steps_read_an_export(store: Store, tmp_path: Path) -> None:
    report = export_m3d_seg(store, tmp_path / "out.v1")
    assert (report.codes, report.written, report.kept) == ({"clinic": 3}, ("p1", "p2", "p3"), ())
    read = as_segvol_reads(tmp_path / "out.v1", "clinic", "train") + as_segvol_reads(
        tmp_path / "out.v1", "clinic", "test"
    )
    for name, (image, masks, names) in zip(("p2", "p3", "p1"), read, strict=True):
        assert names == ["bladder", "prostate", "prostate peripheral zone", "renal cyst"]
        case = store.read(name)
        np.testing.assert_array_equal(image, foreground_normalise(case.volume.array, 0.05, 99.95))
        for structure, mask in zip(names, masks, strict=True):
            expected = case.mask(structure) if structure in case.structures else np.zeros(mask.shape, bool)
            np.testing.assert_array_equal(mask != 0, expected)
            assert set(np.unique(mask)) <= {0, 1}


def test_percentiles_are_a_setting(store: Store, tmp_path: Path) -> None:
    export_m3d_seg(store, tmp_path / "out", Normalisation(5, 95))
    image, _, _ = as_segvol_reads(tmp_path / "out", "clinic", "test")[0]
    np.testing.assert_array_equal(image, foreground_normalise(store.read("p1").volume.array, 5, 95))
    with pytest.raises(StoreError, match="must rise within 0 and 100"):
        Normalisation(95, 5)


def test_store_to_export_to_store_changes_no_voxel(store: Store, tmp_path: Path) -> None:
    export_m3d_seg(store, tmp_path / "out", Normalisation(raw=True))
    back = Store.ensure(tmp_path / "back")
    assert prepare(M3DSegSource(tmp_path / "out"), back).failed == {}
    assert back.names == ("clinic_p1", "clinic_p2", "clinic_p3")
    for name in store.names:
        before, after = store.read(name), back.read(f"clinic_{name}")
        np.testing.assert_array_equal(before.volume.array, after.volume.array)
        np.testing.assert_array_equal(before.volume.grid.affine, after.volume.grid.affine)
        assert before.structures.keys() == after.structures.keys()
        for structure in before.structures:
            np.testing.assert_array_equal(before.mask(structure), after.mask(structure))
        for fact in ("patient", "dataset", "sequence", "site"):
            assert getattr(before, fact) == getattr(after, fact), fact
        assert after.part == (before.part or "train")
        assert before.volume.modality is after.volume.modality
    assert back.datasets["clinic"]["licence"] == "CC0"


def test_modalities_that_label_different_structures_become_codes_of_their_own(store: Store, tmp_path: Path) -> None:
    store.add(made_case("c1", Modality.CT, {"liver": random_mask(6)}))
    report = export_m3d_seg(store, tmp_path / "out")
    assert report.codes == {"clinic_ct": 1, "clinic_mri": 3}
    ((_, masks, names),) = as_segvol_reads(tmp_path / "out", "clinic_ct", "train")
    assert names == ["liver"]
    assert masks.shape[0] == 1


def test_a_split_decides_the_lists(store: Store, tmp_path: Path) -> None:
    report = export_m3d_seg(store, tmp_path / "out", split=Split(("p3",), ("p1",)))
    assert report.left_out == ("p2",)
    told = json.loads((tmp_path / "out" / "clinic" / "clinic.json").read_text("utf-8"))
    assert [told[key] for key in ("numTraining", "numValidation", "numTest")] == [1, 1, 0]
    assert told["validation"][0]["image"] == "clinic/p1/image.npy"
    with pytest.raises(StoreError, match="has no case p9, which the split names"):
        export_m3d_seg(store, tmp_path / "other", split=Split(("p9",)))
    assert not (tmp_path / "other").exists()


def test_a_stopped_export_goes_on_and_ends_the_same(store: Store, tmp_path: Path) -> None:
    def stop(done: int, total: int, name: str) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        export_m3d_seg(store, tmp_path / "out", progress=stop)
    assert not (tmp_path / "out" / "clinic" / "clinic.json").exists()
    left = tmp_path / "out" / "clinic" / ".partial-killed"
    left.mkdir()
    os.utime(left, (0, 0))  # of long ago, since its name tells no process
    report = export_m3d_seg(store, tmp_path / "out")
    assert (report.kept, report.written) == (("p1", "p2"), ("p3",))
    export_m3d_seg(store, tmp_path / "whole")
    files = {path.relative_to(tmp_path / "whole") for path in (tmp_path / "whole").rglob("*")}
    assert files == {path.relative_to(tmp_path / "out") for path in (tmp_path / "out").rglob("*")}
    for path in files:
        if (tmp_path / "whole" / path).suffix in {".npy", ".json"}:
            assert (tmp_path / "whole" / path).read_bytes() == (tmp_path / "out" / path).read_bytes()


def test_a_grown_store_adds_cases_and_other_settings_need_force(store: Store, tmp_path: Path) -> None:
    out = tmp_path / "out"
    export_m3d_seg(store, out)
    store.add(made_case("p4", Modality.MRI, {"prostate": random_mask(5)}, seed=8))
    assert export_m3d_seg(store, out).written == ("p4",)
    with pytest.raises(OutputError, match="export of other data or settings; use --force"):
        export_m3d_seg(store, out, Normalisation(raw=True))
    assert len(export_m3d_seg(store, out, Normalisation(raw=True), force=True).written) == 4


def test_nothing_that_is_no_export_is_touched(store: Store, tmp_path: Path) -> None:
    mine = tmp_path / "out" / "clinic" / "thesis.txt"
    mine.parent.mkdir(parents=True)
    mine.write_text("mine")
    for force in (False, True):
        with pytest.raises(OutputError, match="is no export of this package"):
            export_m3d_seg(store, tmp_path / "out", force=force)
    assert mine.read_text("utf-8") == "mine"


def test_numbers_that_float32_cannot_hold_are_not_written_raw(tmp_path: Path) -> None:
    store = Store.ensure(tmp_path / "store")
    case = made_case("p1", Modality.MRI, {"liver": random_mask(0)})
    array = case.volume.array.astype(np.int32) + 2**25 + 1
    volume = Volume(array, case.volume.grid, Modality.MRI, "p1")
    store.add(Case("p1", "p1", "clinic", volume, case.labels, case.structures))
    with pytest.raises(OutputError, match="float32, which this layout asks for, cannot hold"):
        export_m3d_seg(store, tmp_path / "out", Normalisation(raw=True))
