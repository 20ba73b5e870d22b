"""The example that everything can be tried on: what it replaces, and what not. README's test uses its files."""

from pathlib import Path

import numpy as np
import pytest

from segevolution.data import example
from segevolution.data.example import write_example
from segevolution.errors import OutputError
from segevolution.imaging.formats import read, read_labels


def test_an_example_is_the_same_each_time_and_replaces_only_an_example(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(example, "SPACING", (8.0, 8.0, 12.0))  # a quick one
    monkeypatch.setattr(example, "PATIENTS", 1)
    ct, _, truth, patients = write_example(tmp_path / "one")
    write_example(tmp_path / "two")
    np.testing.assert_array_equal(read(ct).array, read(tmp_path / "two" / "ct.nii.gz").array)
    assert read(ct).grid.close_to(read_labels(truth).grid)
    assert read(patients / "images" / "patient1.nii.gz").array.ndim == 3
    with pytest.raises(OutputError, match="exists already"):
        write_example(tmp_path / "one")
    write_example(tmp_path / "one", force=True)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("precious")
    with pytest.raises(OutputError, match="is no example of this package"):
        write_example(tmp_path / "mine", force=True)
    assert (tmp_path / "mine" / "thesis.txt").read_text(encoding="utf-8") == "precious"
