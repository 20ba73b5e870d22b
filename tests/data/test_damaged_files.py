"""Whatever is in the files of a dataset, a store or a split: values or one sentence, never anything else.

Mutations have fixed seeds; a longer run is `SEGEVOLUTION_FUZZ=2000 pytest tests/data/test_damaged_files.py`.
"""

import json
import os
import random
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from damage import changed, damaged
from segevolution.data.audit.entries import entries
from segevolution.data.audit.people import check_people
from segevolution.data.m3d_seg import write_item
from segevolution.data.overview import overview
from segevolution.data.pack import PackEntry, read_pack, write_pack
from segevolution.data.prepare import prepare
from segevolution.data.sources import Overrides, open_source
from segevolution.data.sources.collection import decisions_of
from segevolution.data.sources.patients import group_patients
from segevolution.data.splits import Split
from segevolution.data.store import Store
from segevolution.data.windows import FramedCase
from segevolution.errors import SegevolutionError
from segevolution.vocabulary import Modality

ROUNDS = int(os.environ.get("SEGEVOLUTION_FUZZ", "60"))


def mutations(value: Any, seed: int) -> bytes:
    """One mutation of a document, of its values or of its bytes."""
    chance = random.Random(seed)
    whole = json.dumps(changed(value, chance) if chance.random() < 0.7 else value).encode()
    return damaged(whole, chance) if chance.random() < 0.35 else whole


def use_dataset(folder: Path) -> None:
    """Open a dataset and read all that it lists."""
    source = open_source("auto", folder, Overrides(modality=Modality.CT))
    for case in source.index():
        with suppress(SegevolutionError):
            source.read(case)
    decisions_of(source)


def use_store(folder: Path) -> None:
    """Open a store and look at all that it says."""
    store = Store.open(folder)
    everyone, _ = entries([store])
    check_people(everyone)
    overview([entry.record for entry in everyone])
    for entry in everyone:
        store.read(entry.record.name)
    assert {*store.datasets, *store.skipped, *store.decisions} <= {"hippocampus"}
    store.fingerprint()


def check_sentences(use: Callable[[Path], Any], folder: Path, file: Path, value: Any, seed: int) -> None:
    """Use a folder after each mutation of one of its files; only errors of one sentence may come."""
    sentences = []
    for number in range(ROUNDS):
        file.write_bytes(mutations(value, seed * 10_000 + number))
        try:
            use(folder)
        except SegevolutionError as error:
            sentences.append(str(error))
    assert len(sentences) > ROUNDS // 20
    assert not [sentence[:3000] for sentence in sentences if "\n" in sentence or len(sentence) >= 2000]


@pytest.fixture
def task(miniature: Any, tmp_path: Path) -> Path:
    return miniature.msd(tmp_path / "task", ("hippocampus_001", "hippocampus_003"))


def test_any_dataset_json_of_the_decathlon(task: Path) -> None:
    header = task / "dataset.json"
    check_sentences(use_dataset, task, header, json.loads(header.read_text(encoding="utf-8")), 1)


@pytest.mark.parametrize("listed", [False, True])
def test_any_dataset_json_of_nnunet(miniature: Any, tmp_path: Path, listed: bool) -> None:
    miniature.image(tmp_path / "imagesTr" / "p1_0000.nii.gz")
    miniature.labels(tmp_path / "labelsTr" / "p1.nii.gz")
    value: dict[str, Any] = {"channel_names": {"0": "CT"}, "labels": {"background": 0, "liver": 1, "spleen": [2]}}
    value |= {"file_ending": ".nii.gz", "name": "x", "licence": "mine"}
    if listed:
        value["dataset"] = {"p1": {"images": ["imagesTr/p1_0000.nii.gz"], "label": "labelsTr/p1.nii.gz"}}
    check_sentences(use_dataset, tmp_path, tmp_path / "dataset.json", value, 2 + listed)


@pytest.mark.parametrize(
    "value",
    [
        {"1": "liver", "2": "spleen"},
        {"labels": {"liver": 1, "spleen": "2"}, "images": "images/{case}.nii.gz", "masks": "labels/{case}.nii.gz"},
        {"images": "images/{case}.nii.gz", "masks": {"liver": "labels/{case}.nii.gz"}, "patient": "^(.)", "name": "n"},
    ],
)
def test_any_labels_json(miniature: Any, tmp_path: Path, value: dict[str, Any]) -> None:
    miniature.image(tmp_path / "images" / "a_1.nii.gz")
    miniature.labels(tmp_path / "labels" / "a_1.nii.gz")
    check_sentences(use_dataset, tmp_path, tmp_path / "labels.json", value, 4 + len(value))


@pytest.mark.parametrize("file", ["case.json", "store.json", "datasets", "decisions"])
def test_any_file_of_a_store(task: Path, tmp_path: Path, file: str) -> None:
    store = Store.create(tmp_path / "store")
    prepare(open_source("msd", task), store)
    places = {"case.json": store.path / "cases" / "hippocampus_001" / file, "store.json": store.path / file}
    path = places.get(file, store.path / file / "hippocampus.json")
    value = json.loads(path.read_text(encoding="utf-8"))

    def use(folder: Path) -> None:
        use_store(folder)
        Store(folder).read("hippocampus_001")

    check_sentences(use, store.path, path, value, 20 + len(file))


@pytest.mark.parametrize(
    "value",
    [
        {"train": ["a", "b"], "validation": [], "test": ["c"]},
        [{"train": ["a"], "val": ["b"]}, {"train": [], "val": []}],
    ],
)
def test_any_split(tmp_path: Path, value: Any) -> None:
    check_sentences(Split.load, tmp_path / "split.json", tmp_path / "split.json", value, 30 + len(value))


def check_tables(use: Callable[[Path], Any], folder: Path, file: Path, text: str, seed: int) -> None:
    """As `check_sentences`, for a table of text; much damage of one is harmless."""
    sentences = []
    for number in range(ROUNDS):
        file.write_bytes(damaged(text.encode(), random.Random(seed * 10_000 + number)))
        try:
            use(folder)
        except SegevolutionError as error:
            sentences.append(str(error))
    assert sentences
    assert not [sentence[:3000] for sentence in sentences if "\n" in sentence or len(sentence) >= 2000]


def test_any_table_of_patients(tmp_path: Path) -> None:
    table = tmp_path / "who.csv"
    text = "file,patient\na_1,P1\na_2,P1\nb_1,P2\n"
    check_tables(lambda path: group_patients(["a_1", "a_2", "b_1"], str(path)), table, table, text, 40)


@pytest.mark.parametrize("file", ["dataset_description.json", "derivatives/manual/dseg.tsv", "participants.tsv"])
def test_any_description_of_bids(miniature: Any, tmp_path: Path, file: str) -> None:
    manual = tmp_path / "derivatives" / "manual"
    miniature.image(tmp_path / "sub-01" / "anat" / "sub-01_T1w.nii.gz")
    miniature.labels(manual / "sub-01" / "anat" / "sub-01_dseg.nii.gz")
    contents = {
        "dataset_description.json": json.dumps({"Name": "x", "License": "CC0"}),
        "derivatives/manual/dseg.tsv": "index\tname\n1\tliver\n2\tspleen\n",
        "participants.tsv": "participant_id\tsite\nsub-01\tNorth\n",
    }
    for name, text in contents.items():
        (tmp_path / name).write_text(text)
    use = use_bids_strictly if file != "participants.tsv" else use_dataset
    if file.endswith(".json"):
        check_sentences(use, tmp_path, tmp_path / file, json.loads(contents[file]), 50)
    elif file == "participants.tsv":
        for number in range(ROUNDS):
            (tmp_path / file).write_bytes(damaged(contents[file].encode(), random.Random(number)))
            with suppress(SegevolutionError):
                use(tmp_path)
    else:
        check_tables(use, tmp_path, tmp_path / file, contents[file], 51)


def use_bids_strictly(folder: Path) -> None:
    """Read the one case of a BIDS dataset, whatever is wrong."""
    open_source("bids", folder).read("sub-01_T1w")


def test_any_json_of_m3d_seg(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    folder = tmp_path / "0003"
    folder.mkdir()
    shape = (5, 6, 4)
    image, label = write_item(folder / "c1", rng.random(shape).astype(np.float32), [rng.random(shape) < 0.5])
    item = {"image": f"0003/c1/{image.name}", "label": f"0003/c1/{label.name}", "affine": np.eye(4).tolist()}
    value = {"name": "0003", "labels": {"0": "background", "1": "liver"}, "modality": {"0": "CT"}, "train": [item]}
    check_sentences(use_dataset, tmp_path, folder / "0003.json", value, 60)


def test_any_byte_of_a_pack(tmp_path: Path) -> None:
    labels = np.zeros((4, 6, 5), np.uint8)
    labels[1:3, 2:4, 1:3] = 1
    framed = FramedCase("a", Modality.CT, np.full((4, 6, 5), 0.5, np.float16), labels, {"liver": (1,)}, ())
    path = tmp_path / "a.pack"
    write_pack(path, [PackEntry("ct", "train", framed)], {"about": "toys"})
    whole = path.read_bytes()
    refused = 0
    for seed in range(ROUNDS):
        path.write_bytes(damaged(whole, random.Random(seed)))
        try:
            read_pack(path).cases("ct", "train")
        except SegevolutionError:
            refused += 1
    assert refused > ROUNDS // 2
