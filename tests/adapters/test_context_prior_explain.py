import numpy as np
import pytest
import torch

from segevolution.adapters import LoraAdapter, create, save_adapter
from segevolution.adapters.explain import STUDY_QUESTION, analogies, cosines, explain, write_explanation
from segevolution.adapters.prior.maps import principal_components, tsne
from segevolution.errors import AdapterError, OutputError
from segevolution.models.tiny import TinyBackbone

NAMES = ("liver", *STUDY_QUESTION, "spleen")


@pytest.fixture
def saved(tmp_path):
    """An adapter in which only the liver's token has moved."""
    network = TinyBackbone()
    adapter = create("context_prior", {"lora_rank": 0})
    adapter.attach(network)
    adapter.add_structures(NAMES)
    with torch.no_grad():
        token = adapter.network.pool.structures["[liver]"]
        token.add_(token.norm() * torch.nn.functional.normalize(torch.ones_like(token), dim=0))
    save_adapter(adapter, network, tmp_path / "prior")
    return tmp_path / "prior"


def test_tokens_are_compared_and_only_what_training_moved_has_moved(saved):
    found = explain(saved)
    assert found.structures == NAMES
    assert np.allclose(np.diag(found.similarity), 1)
    assert np.allclose(found.similarity, found.similarity.T)
    assert found.moved[0] == pytest.approx(1, abs=1e-5)
    assert not found.moved[1:].any()
    assert found.moved_similarity[0, 0] == pytest.approx(1)
    assert not found.moved_similarity[1:].any()
    assert found.analogies[0].terms == STUDY_QUESTION
    assert found.analogies[0].among == 3


def test_an_analogy_that_holds_has_rank_one_and_one_that_does_not_has_not():
    side, adrenal, kidney, liver = np.eye(4)
    tokens = np.stack([liver, adrenal + side, adrenal - side, kidney - side, kidney + side])
    names = ("liver", *STUDY_QUESTION)
    right = analogies(names, tokens)
    assert [each.terms for each in right] == [
        STUDY_QUESTION,
        ("left kidney", "right kidney", "right adrenal gland", "left adrenal gland"),
    ]
    assert right[0].rank == 1
    assert right[0].cosine == pytest.approx((kidney + 3 * side - side) @ (kidney + side) / (5**0.5 * 2**0.5), abs=0.1)
    tokens[4] = liver - side
    tokens[0] = kidney + side
    assert analogies(names, tokens)[0].rank == 2


def test_without_both_sides_nothing_is_asked():
    assert analogies(("liver", "left kidney", "left lung"), np.eye(3)) == ()


def test_cosines_of_nothing_are_zero():
    assert cosines(np.array([[0.0, 0.0], [2.0, 0.0]]), np.array([[1.0, 1.0]])).ravel() == pytest.approx([0, 0.5**0.5])


def test_principal_components_keep_the_distances_of_points_on_a_plane():
    rng = np.random.default_rng(0)
    plane = rng.normal(size=(9, 2))
    axes = np.linalg.qr(rng.normal(size=(20, 2)))[0]
    found = principal_components(plane @ axes.T + 3.0)

    def apart(points):
        return np.linalg.norm(points[:, None] - points[None], axis=-1)

    assert np.allclose(apart(found), apart(plane))
    assert found[:, 0].std() > found[:, 1].std()


def test_tsne_keeps_groups_together_and_draws_nothing_by_chance():
    rng = np.random.default_rng(1)
    centres = 4 * rng.normal(size=(3, 16))
    vectors = np.concatenate([centre + 0.3 * rng.normal(size=(7, 16)) for centre in centres])
    flat = tsne(vectors)
    assert np.isfinite(flat).all()
    assert np.array_equal(tsne(vectors), flat)
    distances = np.linalg.norm(flat[:, None] - flat[None], axis=-1)
    for row in range(21):
        nearest = np.argsort(distances[row])[1:7]
        assert set(nearest // 7) == {row // 7}


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_maps_of_few_or_equal_points_are_finite(count):
    for vectors in (np.eye(count, 6), np.ones((count, 6))):
        assert tsne(vectors).shape == (count, 2)
        assert np.isfinite(tsne(vectors)).all()


def test_an_explanation_is_written_whole_and_not_over_another(saved, tmp_path):
    found = explain(saved)
    write_explanation(found, tmp_path / "out")
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"structures.csv", "similarity.csv", "analogies.csv", "similarity.png", "map.png"}
    lines = (tmp_path / "out" / "similarity.csv").read_text("utf-8").splitlines()
    assert lines[0] == ",".join(("structure", *NAMES))
    assert float(lines[1].split(",")[2]) == pytest.approx(found.similarity[0, 1])
    assert all((tmp_path / "out" / name).read_bytes()[:4] == b"\x89PNG" for name in ("similarity.png", "map.png"))
    with pytest.raises(OutputError):
        write_explanation(found, tmp_path / "out")


def test_other_adapters_and_empty_pools_are_refused(tmp_path):
    network = TinyBackbone()
    for name, adapter in (("lora", LoraAdapter()), ("empty", create("context_prior"))):
        adapter.attach(network)
        save_adapter(adapter, network, tmp_path / name)
        adapter.detach()
    with pytest.raises(AdapterError, match="only context_prior has tokens"):
        explain(tmp_path / "lora")
    with pytest.raises(AdapterError, match="taught no structure"):
        explain(tmp_path / "empty")
