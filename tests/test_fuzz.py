"""Section 3 of the faults: a damaged file gives a sentence or opens as before; never a traceback, a hang, other voxels.

`python tests/fuzz.py --many 5000` does the same for more files.
"""

import importlib.util
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

_SPEC = importlib.util.spec_from_file_location("segevolution_fuzz", Path(__file__).with_name("fuzz.py"))
assert _SPEC is not None
assert _SPEC.loader is not None
fuzz = importlib.util.module_from_spec(_SPEC)
sys.modules["segevolution_fuzz"] = fuzz
_SPEC.loader.exec_module(fuzz)

EACH = 32


@pytest.mark.skipif(sys.platform == "win32", reason="processes are forked")
@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
@pytest.mark.parametrize("kind", sorted(fuzz.KINDS))
def test_damaged_files_give_a_sentence_or_open_as_before(kind: str) -> None:
    outcomes = fuzz.run(EACH, [kind])
    assert not fuzz.faults(outcomes)
    words = {outcome.word for outcome in outcomes}
    assert "sentence" in words
    assert words & {"opened", "alone"}


@pytest.mark.parametrize("kind", ["nifti", "nrrd", "metaimage", "dicom"])
@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_the_harness_notices_raw_voxels_that_are_others_than_an_independent_reader_finds(
    kind: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(fuzz, "mutate", lambda data, kind, draw: data)
    (tmp_path / "sound").mkdir()
    assert fuzz.try_one(kind, 0, tmp_path / "sound").word == "opened"
    sound = fuzz.read

    def one_voxel_changed(path: Path) -> object:
        volume = sound(path)
        array = np.array(volume.array, np.float64)
        array.flat[7] += 1
        return replace(volume, array=array)

    monkeypatch.setattr(fuzz, "read", one_voxel_changed)
    (tmp_path / "changed").mkdir()
    assert fuzz.try_one(kind, 0, tmp_path / "changed").word == "silent"


@pytest.mark.parametrize(
    ("opened", "word"),
    [("raise ValueError", "traceback"), ("os._exit(3)", "crash"), ("silent", "silent"), ("two\\nlines", "traceback")],
)
def test_the_harness_notices_every_fault(
    opened: str, word: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def broken(path: Path) -> object:
        if opened == "raise ValueError":
            raise ValueError
        if opened == "silent":
            return path.stat().st_size
        if opened == "two\\nlines":
            raise fuzz.SegevolutionError("two\nlines")
        return fuzz.os._exit(3)

    def make(folder: Path) -> Path:
        (folder / "file").write_bytes(bytes(8))
        return folder / "file"

    checked = opened == "silent"
    monkeypatch.setitem(fuzz.KINDS, "broken", fuzz.Kind(make, broken, 0 if checked else 8, checked=checked))
    if checked:
        monkeypatch.setattr(fuzz, "mutate", lambda data, kind, draw: data + b"more")
    assert fuzz.try_one("broken", 0, tmp_path).word == word


def test_the_harness_notices_a_hang(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fuzz, "SECONDS", 0.05)
    assert fuzz._in_a_child(fuzz.signal.pause)[0] == "hang"
