"""A study in several parts: each does its share, a training is done once, and all join to the same table."""

import shutil
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as some

from segevolution.errors import RecipeError
from segevolution.evaluation.questions import Questions
from segevolution.evaluation.results import PartName
from segevolution.recipes import claims
from segevolution.recipes.claims import claimed
from segevolution.recipes.stores import StoreRef
from segevolution.studies import run
from segevolution.studies.jobs import EvaluateJob
from segevolution.studies.run import LocalExecutor, StudyPart
from segevolution.studies.study import run_study


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    """Look again at once for what another part does."""
    monkeypatch.setattr(claims, "POLL_SECONDS", 0.01)
    monkeypatch.setattr(run, "POLL_SECONDS", 0.01)


@pytest.fixture
def part(toy_recipe, toy_root, tmp_path, quick_fit, plain_pictures, changed):
    """Do one part of the toy study, with two seeds, in a folder of that name; all of it without a share."""
    recipe = changed(toy_recipe, seeds=[0, 1], prompts=["box"])

    def part(share=None, folder="out", fit=quick_fit):
        executor = None if share is None else LocalExecutor(StudyPart.parse(share))
        return run_study(recipe, tmp_path / folder, root=toy_root, device="cpu", quiet=True, fit=fit, executor=executor)

    part.fit, part.root = quick_fit, tmp_path
    return part


def steady(table):
    return table.drop(columns="seconds")


def test_parts_do_everything_once_and_join_to_the_same_table(part):
    whole = part(folder="elsewhere/whole")  # not beside the parts, who would take its trainings over
    done = [part(f"{number}/3") for number in (2, 3, 1)]
    assert sum(one.measured for one in done) == whole.planned == 12
    assert [one.measured for one in done] == [4, 4, 4]
    assert sorted(run for one in done for run in one.trained) == ["lora-s0", "lora-s1"]
    assert done[0].missing == 8
    assert done[0].report is None or done[-1].missing == 0
    joined = part()
    assert (joined.trained, joined.measured, joined.missing) == ((), 0, 0)
    assert steady(joined.table).equals(steady(whole.table))
    assert joined.report.is_file()


def test_a_part_writes_no_table_before_all_are_there(part):
    done = part("1/2")
    assert (done.measured, done.missing) == (6, 6)
    assert len(done.table) == 12
    assert not (part.root / "out" / "results.parquet").exists()
    assert done.report is None
    again = part("1/2")
    assert (again.measured, again.trained) == (0, ())


def test_two_parts_at_once_train_each_run_once(part):
    done, lock, calls = {}, threading.Lock(), []
    both = threading.Barrier(2, timeout=60)

    def fit(backbone, groups, settings, folder, **rest):
        with lock:
            calls.append(folder.parent.name)
        if len(calls) <= 2:
            both.wait()  # each part holds one training, and the other asks for it meanwhile
        return part.fit(backbone, groups, settings, folder, **rest)

    def work(share):
        done[share] = part(share, fit=fit)

    threads = [threading.Thread(target=work, args=(share,)) for share in ("1/2", "2/2")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(calls) == ["lora-s0", "lora-s1"]
    assert sorted(run for one in done.values() for run in one.trained) == ["lora-s0", "lora-s1"]
    assert sum(one.measured for one in done.values()) == 12
    assert not (part.root / "out" / "claims").exists()


def test_folders_of_parts_on_several_machines_are_merged_by_copying(part):
    whole = part(folder="elsewhere/whole")  # not beside the parts, who would take its trainings over
    for number in (1, 2):
        part(f"{number}/2", folder=f"machine-{number}")
        shutil.copytree(part.root / f"machine-{number}", part.root / "merged", dirs_exist_ok=True)
    trained = len(part.fit.calls)
    merged = part(folder="merged")
    assert (merged.measured, len(part.fit.calls)) == (0, trained)
    assert steady(merged.table).equals(steady(whole.table))


def test_what_a_killed_part_left_is_done_by_the_call_that_joins(part):
    class Killed(BaseException):
        """Stands for kill -9."""

    def die(*given, **rest):
        raise Killed

    with pytest.raises(Killed):
        part("1/1", fit=die)
    joined = part()
    assert joined.trained == ("lora-s0", "lora-s1")
    assert joined.missing == 0


def job(run, case, key):
    return EvaluateJob(PartName(run, "d", case, key), "m", 0, "b", None, StoreRef("d", "d"), "", Questions())


@given(keys=some.lists(some.text("0123456789abcdef", min_size=4, max_size=4), max_size=40), count=some.integers(1, 9))
def test_shares_hold_each_job_once_and_are_equally_large_in_any_order(keys, count):
    jobs = [job(f"r{number}", "c", key) for number, key in enumerate(keys)]
    shares = [StudyPart(number, count).of(jobs) for number in range(1, count + 1)]
    assert sorted(one.part.run for share in shares for one in share) == sorted(one.part.run for one in jobs)
    assert max(map(len, shares)) - min(map(len, shares)) <= 1
    again = [StudyPart(number, count).of(jobs[::-1]) for number in range(1, count + 1)]
    assert [set(share) for share in again] == [set(share) for share in shares]


@pytest.mark.parametrize(
    "text", ["", "2", "0/3", "4/3", "1/0", "-1/2", "1/2/3", "a/b", "1.0/2", "²/3", "1/" + "9" * 99]
)
def test_what_is_no_part_is_one_sentence(text):
    with pytest.raises(RecipeError, match="such as 2/4"):
        StudyPart.parse(text)


def test_a_claim_has_one_holder(tmp_path):
    with claimed(tmp_path / "claims", "lora") as ours:
        assert ours
        with claimed(tmp_path / "claims", "lora", wait=False) as theirs:
            assert not theirs
        with claimed(tmp_path / "claims", "other", wait=False) as other:
            assert other
    assert not (tmp_path / "claims").exists()
    with claimed(tmp_path / "claims", "lora", wait=False) as again:
        assert again


def test_a_claim_of_a_process_that_has_ended_is_taken_over_by_one(tmp_path, monkeypatch):
    (tmp_path / "lora.claim-1").write_text(claims.process_name())
    with claimed(tmp_path, "lora", wait=False) as ours:
        assert not ours  # its process lives
    (tmp_path / "lora.claim-1").write_text("node-1")
    monkeypatch.setattr(claims, "has_ended", lambda name: name == "node-1")
    held, all_at_once = [], threading.Barrier(8)

    def take():
        all_at_once.wait(20)
        with claimed(tmp_path, "lora", wait=False) as ours:
            held.append(ours)
            all_at_once.wait(20)  # nobody gives it back before all have asked

    threads = [threading.Thread(target=take) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(held) == [False] * 7 + [True]
    assert not tmp_path.exists()  # empty, so that it went with the claim


def test_a_claim_from_another_machine_is_dead_once_it_has_not_been_touched_for_long(tmp_path, monkeypatch):
    (tmp_path / "lora.claim-3").write_text("elsewhere-4711")
    with claimed(tmp_path, "lora", wait=False) as ours:
        assert not ours
    monkeypatch.setattr(claims, "DEAD_SECONDS", -1.0)
    with claimed(tmp_path, "lora", wait=False) as ours:
        assert ours
        assert (tmp_path / "lora.claim-4").is_file()


def test_whoever_waits_for_a_claim_gets_it_once_it_is_given_back(tmp_path):
    order = []
    inside, go_on = threading.Event(), threading.Event()

    def first():
        with claimed(tmp_path, "lora"):
            inside.set()
            go_on.wait(10)
            order.append("first")

    def second():
        inside.wait(10)
        go_on.set()
        with claimed(tmp_path, "lora") as ours:
            order.append("second")
            assert ours

    threads = [threading.Thread(target=one) for one in (first, second)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert order == ["first", "second"]


def test_a_claim_is_touched_while_its_holder_works(tmp_path, monkeypatch):
    monkeypatch.setattr(claims, "TOUCHED_SECONDS", 0.001)
    touched = threading.Event()
    monkeypatch.setattr(claims.os, "utime", lambda path: touched.set())
    with claimed(tmp_path, "lora"):
        assert touched.wait(10)
