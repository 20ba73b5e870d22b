"""Section 4: every command checks all of its input before it says that an output exists already."""

import copy
import os
from collections.abc import Iterator
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch

from segevolution.adapters import LoraAdapter, LoraConfig, save_adapter
from segevolution.cli.app import main
from segevolution.data.m3d_export import export_m3d_seg
from segevolution.data.splits import Split
from segevolution.data.store import Store
from segevolution.imaging.case import Case
from segevolution.imaging.grid import Grid
from segevolution.imaging.volume import Volume
from segevolution.models.checkpoints import save_model
from segevolution.models.tiny import TinyBackbone
from segevolution.vocabulary import Modality

SHAPE = (20, 18, 12)
SEGMENT = "segment scan.nii.gz --model base --modality MRI"
MERGE = "adapters merge ct --base base -o taken/model"
COMBINE = "adapters combine ct mri --names CT,MRI --base base -o taken/adapter"
SPLIT = "data split store taken/split.json"
CHECK = "data check store --split split.json --fix-splits -o taken/split.json"
SYNTHESISE = "data synthesise --labels scan_labels.nii.gz -o taken/made.nii.gz"
EXPORT_MODEL = "models export base taken/model"
EXPORT_ADAPTER = "adapters export ct taken/adapter"
ADAPT = "adapt store --base base --simulated 0 --replay none -o taken/adapter"

SOUND = (
    f"{SEGMENT} --text liver -o taken/mask.nii.gz",
    MERGE,
    COMBINE,
    "models convert base taken/model",
    f"{EXPORT_MODEL} --to huggingface",
    f"{EXPORT_MODEL} --to monai --structures liver",
    f"{EXPORT_ADAPTER} --to huggingface",
    f"{EXPORT_ADAPTER} --to peft",
    SPLIT,
    CHECK,
    "data show store --contact-sheet taken/sheet.png",
    f'{SYNTHESISE} --names {{"1":"liver"}}',
    "data export store taken/export",
    ADAPT,
)
FAULTY = (
    (f"{SEGMENT} -o taken/mask.nii.gz", "no prompt was given"),
    (f"{SEGMENT} --text= -o taken/mask.nii.gz", "a text is empty"),
    (f"{SEGMENT} --text liver --seed -1 -o taken/mask.nii.gz", "--seed"),
    (f"{SPLIT} --seed -1", "--seed"),
    (f"{ADAPT} --seed 99999999999999999999", "--seed"),
    (f"{SEGMENT} --text zorblax -o taken/mask.nii.gz", '"zorblax" is not a structure'),
    (f"{SEGMENT} --text liver --device banana -o taken/mask.nii.gz", '"banana" is not a device'),
    (f"{SEGMENT} --text liver --adapter nowhere -o taken/mask.nii.gz", "nowhere"),
    (f"{SEGMENT} --text liver --adapter damaged -o taken/mask.nii.gz", "damaged"),
    (f"{SEGMENT} --text liver --model nowhere -o taken/mask.nii.gz", "nowhere"),
    (f"{SEGMENT} --box 90,90,90,95,95,95 -o taken/mask.nii.gz", "outside the image"),
    (f"{SEGMENT} --point 1,2,x -o taken/mask.nii.gz", '--point "1,2,x" cannot be read'),
    ("segment damaged.nii.gz --model base --text liver -o taken/mask.nii.gz", "truncated"),
    (f"{MERGE} --dtype float8", "float8"),
    ("adapters merge nowhere --base base -o taken/model", "nowhere"),
    ("adapters merge damaged --base base -o taken/model", "damaged"),
    ("adapters merge ct --base nowhere -o taken/model", "nowhere"),
    ("adapters combine ct --names CT,MRI --base base -o taken/adapter", "a name of its own"),
    ("adapters combine ct nowhere --names CT,MRI --base base -o taken/adapter", "nowhere"),
    ("adapters combine ct other --names CT,MRI --base base -o taken/adapter", "rank"),
    (f"{COMBINE} --gate fence", "fence"),
    ("adapters explain nowhere -o taken", "nowhere"),
    ("adapters explain ct -o taken --device banana", '"banana" is not a device'),
    ("models convert nowhere taken/model", "nowhere"),
    ("models convert damaged taken/model", "damaged"),
    ("models convert scan.nii.gz taken/model --as sam", "scan.nii.gz"),
    ("models convert base taken/model --as cubist", '"cubist" is no published system'),
    ("models convert nowhere taken/file.bin --to published", "nowhere"),
    ("models export nowhere taken/model --to huggingface", "nowhere"),
    (f"{EXPORT_MODEL} --to huggingface --modality CT", "--modality belongs to --to monai"),
    (f"{EXPORT_MODEL} --to monai --structures zorblax", "zorblax"),
    (f"{EXPORT_MODEL} --to monai --adapter damaged", "damaged"),
    (f"{EXPORT_MODEL} --to monai --modality banana", "banana"),
    ("adapters export damaged taken/adapter --to peft", "damaged"),
    ("adapters export nowhere taken/adapter --to huggingface", "nowhere"),
    (f"{EXPORT_ADAPTER} --to peft --expert CT", "has no experts"),
    (f"{EXPORT_ADAPTER} --to peft --base nowhere", "nowhere"),
    (f"{EXPORT_ADAPTER} --to huggingface --expert CT", "belong to --to peft"),
    (f"{SPLIT} --fractions 0.5 0.1 0.1", "sum"),
    (f"{SPLIT} --split nowhere.json", "nowhere.json"),
    ("data split nowhere taken/split.json", "nowhere"),
    ("data check nowhere --split split.json --fix-splits -o taken/split.json", "nowhere"),
    ("data check store --split nowhere.json --fix-splits -o taken/split.json", "nowhere.json"),
    (f"{CHECK} --base zorblax", "zorblax"),
    ("data show nowhere --contact-sheet taken/sheet.png", "nowhere"),
    ("data show empty --contact-sheet taken/sheet.png", "no case to draw"),
    ("data synthesise --labels nowhere -o taken/made.nii.gz", "nowhere"),
    ("data synthesise --labels damaged.nii.gz -o taken/made.nii.gz --names freesurfer", "truncated"),
    (SYNTHESISE, "names its labels"),
    (f"{SYNTHESISE} --names freesurfer --sequence t9", "t9"),
    ("data export store taken/export --split strange.json", "zorblax"),
    ("data export store taken/export --layout cubist", "cubist"),
    ("train segvol_mini --data . --pack taken/split.json", "is not there"),
    ("train segvol_mini --data . --pack taken/split.json --device banana", '"banana" is not a device'),
    ("train segvol_mini fit.zorblax=1 --data . --pack taken/split.json", "zorblax"),
    (f"{ADAPT} --device banana", '"banana" is not a device'),
    (f"{ADAPT} --split nowhere.json", "nowhere.json"),
    (f"{ADAPT} --modality MRI", "is a store"),
    ("adapt store --base nowhere -o taken/adapter", "nowhere"),
    ("adapt empty_folder --base base -o taken/adapter", "no layout"),
)


def save_image(array: np.ndarray, path: Path) -> None:
    nib.save(nib.Nifti1Image(array, np.diag([6.0, 6, 7, 1])), path)


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A scan, a base, adapters, a store; and `taken`, where every output of SOUND lies already."""
    folder = tmp_path_factory.mktemp("lab")
    network = TinyBackbone().eval()
    for name in ("base", "taken/model"):
        save_model(network, folder / name)
    for name, rank in {"ct": 2, "mri": 2, "other": 3, "damaged": 2, "taken/adapter": 2}.items():
        adapted = copy.deepcopy(network)
        adapter = LoraAdapter(LoraConfig(rank=rank))
        adapter.attach(adapted)
        with torch.no_grad():
            for parameter in adapter.trainable_parameters():
                parameter.add_(0.05)
        save_adapter(adapter, adapted, folder / name, {"base": "base"})
    weights = folder / "damaged" / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-40])
    store = Store.create(folder / "store")
    Store.create(folder / "empty")
    (folder / "empty_folder").mkdir()
    for number, name in enumerate(("p1", "p2", "p3")):
        signal = np.random.default_rng(number).integers(0, 900, SHAPE).astype(np.int16)
        labels = np.zeros(SHAPE, np.uint8)
        labels[4:10, 4:10, 3:7] = 1
        volume = Volume(signal, Grid(SHAPE, np.diag([1.5, 1.5, 3, 1])), Modality.MRI, name)
        store.add(Case(name, name, "toy", volume, labels, {"liver": (1,)}))
    save_image(signal, folder / "scan.nii.gz")
    save_image(labels, folder / "scan_labels.nii.gz")
    (folder / "damaged.nii.gz").write_bytes((folder / "scan.nii.gz").read_bytes()[:500])
    Split(("p1",), ("p2",), ("p3",)).save(folder / "split.json")
    Split(("zorblax",), ("p2",), ("p3",)).save(folder / "strange.json")
    for name in ("mask.nii.gz", "split.json", "sheet.png", "made.nii.gz"):
        (folder / "taken" / name).write_bytes(b"precious")
    (folder / "taken" / "export" / "toy").mkdir(parents=True)
    (folder / "taken" / "export" / "toy" / "precious").write_text("precious")
    before = Path.cwd()
    os.chdir(folder)
    yield folder
    os.chdir(before)


def answer(words: str, capsys: pytest.CaptureFixture[str]) -> str:
    """What a command says on stderr when it leaves with status 2, the lines of progress left out."""
    with pytest.raises(SystemExit) as left:
        main(words.split(" "))
    said = capsys.readouterr().err
    assert left.value.code == 2, said
    return said


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


EXISTS = ("exists already", "holds something else", "is no export", "exists and is not")


@pytest.mark.parametrize("words", SOUND)
def test_a_sound_call_says_that_the_output_exists(lab: Path, words: str, capsys: pytest.CaptureFixture[str]) -> None:
    before = contents(lab)
    assert any(reason in answer(words, capsys) for reason in EXISTS)
    assert contents(lab) == before


@pytest.mark.parametrize(("words", "reason"), FAULTY, ids=[words for words, _ in FAULTY])
def test_faulty_input_is_said_first(lab: Path, words: str, reason: str, capsys: pytest.CaptureFixture[str]) -> None:
    before = contents(lab)
    said = answer(words, capsys)
    assert reason in said
    assert not any(other in said for other in EXISTS)
    assert contents(lab) == before


def test_an_export_of_two_datasets_replaces_none_where_it_may_not_replace_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = Store.create(tmp_path / "store")
    for name in ("a", "b"):
        volume = Volume(np.random.default_rng(0).random(SHAPE), Grid(SHAPE, np.eye(4)), Modality.CT, name)
        store.add(Case(name, name, f"set_{name}", volume, np.zeros(SHAPE, np.uint8), {"liver": (1,)}))
    export_m3d_seg(store, tmp_path / "out")
    next((tmp_path / "out" / "set_b").glob(".segevolution-export")).unlink()
    before = contents(tmp_path / "out" / "set_a")
    assert "is no export" in answer(f"data export {store.path} {tmp_path / 'out'} --raw --force", capsys)
    assert contents(tmp_path / "out" / "set_a") == before
