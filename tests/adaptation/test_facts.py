"""Patients who are tested on one dataset and learned from through another are found by their names."""

from types import SimpleNamespace

import pytest

from segevolution.adaptation import facts
from segevolution.adaptation.facts import datasets_learned_from


def people(*names):
    return [SimpleNamespace(name=name, person=("clinic", name)) for name in names]


def dataset(name, path=None, replay=0, test=0, folds=1):
    return SimpleNamespace(name=name, path=path, replay=replay, test=test, folds=folds)


STORES = {"same": people("a", "b", "c"), "other": people("x", "y")}


@pytest.mark.parametrize(
    ("others", "folds", "found"),
    [
        ([dataset("ct", "same", test="rest")], 1, ["ct"]),
        ([dataset("ct", "other", test="rest")], 1, []),
        ([dataset("ct", "other", replay=0.5, test="rest")], 1, []),  # shared out within the dataset
        ([dataset("replayed", "same", replay="rest")], 1, ["ours"]),
        ([dataset("replayed", "other", replay="rest"), dataset("ct", "other", test="rest")], 1, ["ct"]),
        ([dataset("replayed", "same", replay="rest")], 3, ["ours"]),
        ([dataset("simulated")], 1, []),
    ],
    ids=["ct-is-ours", "ct-of-others", "shared-out", "replay-is-tested", "replay-is-ct", "folds", "simulated"],
)
def test_the_datasets_of_patients_who_were_learned_from_are_named(monkeypatch, others, folds, found):
    monkeypatch.setattr(facts.Store, "open", lambda path: SimpleNamespace(cases=STORES[str(path)]))
    split = SimpleNamespace(train=["a"], validation=["b"], test=["c"])
    recipe = SimpleNamespace(data=[dataset("ours", "same", folds=folds), *others])
    assert datasets_learned_from(recipe, STORES["same"], split) == found
