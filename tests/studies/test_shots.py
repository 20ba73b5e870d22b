"""A study over numbers of training patients: told apart in the table, and resumed where it was killed."""

import pytest

from segevolution.studies.study import run_study


class Killed(BaseException):
    """Stands for kill -9: nothing in the package catches it."""


@pytest.fixture
def study(toy_recipe, toy_root, tmp_path, quick_fit, plain_pictures, changed):
    """Run the toy study with numbers of shots."""

    def study(shots, fit=quick_fit):
        return run_study(
            changed(toy_recipe, shots=shots), tmp_path / "out", root=toy_root, device="cpu", quiet=True, fit=fit
        )

    study.folder = tmp_path / "out"
    return study


def test_the_table_and_the_report_tell_numbers_of_patients_apart(study, quick_fit):
    done = study([1, 2])
    assert done.trained == ("lora-1shot-s0", "lora-2shot-s0")
    assert list(dict.fromkeys(done.table["method"])) == ["base", "lora (1 shot)", "lora (2 shots)"]
    assert len(done.table) == 3 * 4 * 2 * 2  # runs, cases, structures, prompts
    taught = [[set(names) for _, names in call["groups"]] for call in quick_fit.calls]
    assert [len(groups[0]) for groups in taught] == [1, 2]
    assert taught[0][0] < taught[1][0]
    assert taught[0][1] == taught[1][1]  # replayed patients are no shots
    assert "lora (2 shots)" in (study.folder / "report.md").read_text("utf-8")


def test_a_study_killed_between_two_numbers_trains_only_what_is_missing(study, quick_fit):
    def die(backbone, groups, settings, folder, **rest):
        if "2shot" in str(folder):
            raise Killed
        return quick_fit(backbone, groups, settings, folder, **rest)

    with pytest.raises(Killed):
        study([1, 2], die)
    kept = {path: path.stat().st_mtime_ns for path in study.folder.rglob("*.parquet")}
    assert len(kept) == 8  # base and one shot on four cases
    done = study([1, 2])
    assert (done.trained, done.measured, done.planned) == (("lora-2shot-s0",), 4, 12)
    assert all(path.stat().st_mtime_ns == stamp for path, stamp in kept.items())
    again = study([1, 2])
    assert (again.trained, again.measured) == ((), 0)


def test_a_number_added_later_trains_and_measures_that_one_alone(study):
    study([1])
    done = study([1, 2])
    assert (done.trained, done.measured) == (("lora-2shot-s0",), 4)
