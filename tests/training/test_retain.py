"""What an adaptation must not lose: masks on views of some modalities stay near those of the network before it."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from pydantic import ValidationError

from segevolution.adapters import create
from segevolution.adapters.lora import LoraAdapter, LoraConfig
from segevolution.models.backbone import PromptBatch
from segevolution.models.tiny import TinyBackbone, TinyConfig
from segevolution.training.batches import CaseGroup
from segevolution.training.fit import fit
from segevolution.training.objective import ObjectiveSettings, retain_loss
from segevolution.training.settings import FitSettings, decisive
from segevolution.vocabulary import Context, Modality

from .test_fit_mixture import SETTINGS, case

# CT whose labels are exchanged pulls the network away from what it said of it.
CT, MRI = (case(modality, 0) for modality in (Modality.CT, Modality.MRI))
GROUPS = [CaseGroup((replace(CT, structures={"liver": (2,), "spleen": (1,)}),)), CaseGroup((MRI,))]


def moved(folder: Path, settings: FitSettings, targets: tuple[str, ...] = ()) -> dict[Modality, float]:
    """Mean distance of the logits for two prompts from those of the base, after training."""
    base, network = (TinyBackbone(TinyConfig(seed=1)).eval() for _ in range(2))
    torch.manual_seed(0)
    LoraAdapter(LoraConfig(targets=targets) if targets else None).attach(network)
    fit(network, GROUPS, settings, folder, device="cpu", quiet=True)
    found = {}
    for shown in (CT, MRI):
        image = torch.from_numpy(shown.image[2:10, 4:36, 4:36]).float()[None, None]
        prompts = PromptBatch(torch.tensor([0, 0]), ("liver", "spleen"))
        contexts = [Context(shown.modality, name) for name in ("liver", "spleen")]
        with torch.no_grad():
            now, then = (
                one.decode(one.encode(image, (shown.modality,)), prompts, contexts, multimask=False).logits
                for one in (network, base)
            )
        found[shown.modality] = float((now - then).abs().mean())
    return found


def with_retain(weight: float, **others: object) -> FitSettings:
    objective = ObjectiveSettings(resolution="decoder", retain={Modality.CT: weight} if weight else {})
    return replace(SETTINGS, steps=20, learning_rate=1e-2, objective=objective, **others)


def test_a_retained_modality_stays_nearer_to_the_base(tmp_path: Path):
    free, held = (moved(tmp_path / str(weight), with_retain(weight)) for weight in (0, 20.0))
    assert held[Modality.CT] < 0.5 * free[Modality.CT]


def test_kept_encodings_serve_both(tmp_path: Path):
    targets = ("keys", "queries", "voxels")
    free, held = (moved(tmp_path / str(weight), with_retain(weight, cache_features=2), targets) for weight in (0, 20.0))
    assert held[Modality.CT] < 0.7 * free[Modality.CT]


def test_in_half_precision_what_trains_in_its_place_is_not_taken_for_the_base(tmp_path: Path):
    said = []
    for weight in (0, 1.0):
        network = TinyBackbone(TinyConfig(seed=1)).eval()
        create("full").attach(network)
        with torch.no_grad():
            for value in network.parameters():
                value.mul_(0.5)  # as learned
        settings = replace(with_retain(weight), steps=1, precision="bf16-mixed")
        said.append(fit(network, GROUPS[:1], settings, tmp_path / str(weight), device="cpu", quiet=True).metrics)
    assert said[1]["train/retain"] > 0.001
    assert said[0]["train/segmentation"] == said[1]["train/segmentation"]


def test_the_loss_is_nought_and_flat_where_nothing_has_moved():
    before = torch.randn(3, 1, 4, 5, 6, generator=torch.Generator().manual_seed(0)) * 3
    logits = before.clone().requires_grad_()
    loss = retain_loss(logits, before, torch.tensor([1.0, 2.0, 0.0]))
    loss.backward()
    assert float(loss.detach()) == pytest.approx(0, abs=1e-6)
    assert float(logits.grad.abs().max()) < 1e-6
    apart = retain_loss(before + 1, before, torch.tensor([1.0, 2.0, 0.0]))
    assert float(apart) > 0.01
    assert float(retain_loss(before + 1, before, torch.zeros(3))) == 0


def test_a_weight_below_nought_is_refused():
    with pytest.raises(ValidationError):
        FitSettings(objective={"retain": {"CT": -1.0}})


def test_a_run_without_it_keeps_the_key_it_had():
    assert "retain" not in decisive(FitSettings())["objective"]
    assert decisive(with_retain(1.0))["objective"]["retain"] == {Modality.CT: 1.0}
