import copy
from pathlib import Path

import pytest
import torch
from huggingface_hub import ModelCard

from segevolution.adapters.artifact import copy_with_card
from segevolution.adapters.shipped import find_adapter
from segevolution.cli.app import main
from segevolution.errors import AdapterError, CheckpointError, OutputError
from segevolution.exports.huggingface import export_adapter, export_model
from segevolution.exports.shared_card import public_name
from segevolution.inference.load import load
from segevolution.models import hub
from segevolution.models.cards import hub_licence
from segevolution.models.checkpoints import fingerprint, save_model
from segevolution.models.tiny import TinyBackbone

from .conftest import VALUES, Lab, everything_in


def test_a_model_on_the_hub_is_the_model(lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    export_model(lab.model, tmp_path / "shared")
    assert fingerprint(load(tmp_path / "shared", device="cpu")) == fingerprint(lab.network)
    monkeypatch.setenv("SEGEVOLUTION_HOME", str(tmp_path / "home"))
    assert fingerprint(hub.pull(tmp_path / "shared")) == fingerprint(lab.network)


def test_the_card_of_a_model_names_licence_data_and_limits(lab: Lab, tmp_path: Path) -> None:
    export_model(lab.model, tmp_path / "shared")
    card = ModelCard.load(tmp_path / "shared" / "README.md")
    assert (card.data.license, card.data.library_name) == ("cc-by-4.0", "segevolution")
    assert card.data.datasets == ["chaos", "hospital"]
    assert card.data.pipeline_tag == "image-segmentation"
    assert "| chaos | CC BY-NC-SA 4.0 (CHAOS) |" in card.text
    assert "not a medical device" in card.text
    assert "hospital: none: ours" in (tmp_path / "shared" / "LICENSE").read_text("utf-8")


def test_what_was_measured_of_the_shipped_model_stands_in_its_metadata(tmp_path: Path) -> None:
    export_model("segvol-mini", tmp_path / "shared")
    card = ModelCard.load(tmp_path / "shared" / "README.md")
    measured = {(each.dataset_type, each.metric_name): each.metric_value for each in card.data.eval_results}
    assert measured["btcv", "Mean Dice, text prompts"] == 0.603
    assert measured["chaos", "Mean Dice, text+box prompts, islands kept"] == 0.469
    assert measured["btcv", "Calibration error of the expected overlap, text prompts"] == 0.0128
    assert (card.data.license, card.data.license_name) == ("other", "research-only")
    assert "btcv_04" not in everything_in(tmp_path / "shared")
    assert "measured on CT only" in card.text


def test_an_adapter_on_the_hub_answers_as_before(lab: Lab, tmp_path: Path) -> None:
    for source in (lab.lora, lab.mixture):
        export_adapter(source, tmp_path / source.name)
        images = torch.rand(1, 1, *lab.network.spec.window, generator=torch.Generator().manual_seed(0))
        ours, shared = (load(lab.model, adapter=folder, device="cpu") for folder in (source, tmp_path / source.name))
        with torch.no_grad():
            assert torch.equal(shared.encode(images, [None]).tokens, ours.encode(images, [None]).tokens)


def test_an_adapter_is_shared_without_patients_and_folders_of_this_machine(lab: Lab, tmp_path: Path) -> None:
    export_adapter(lab.lora, tmp_path / "shared")
    text = everything_in(tmp_path / "shared")
    assert not any(word in text for word in ("doe_john", "roe_jane", "chaos_01", "0123456789abcdef", "/home/somebody"))
    assert "hospital: 2 cases" in text
    card = ModelCard.load(tmp_path / "shared" / "README.md")
    assert (card.data.base_model, card.data.library_name) == ("tiny", "peft")
    assert card.data.datasets == ["hospital", "chaos"]
    assert "0.41 before, 0.80 after" in card.text
    assert "Any clinical decision" in card.text


def test_names_of_patients_are_shared_where_that_is_asked_for(lab: Lab, tmp_path: Path) -> None:
    export_adapter(lab.lora, tmp_path / "adapter", case_names=True)
    assert "hospital/doe_john" in everything_in(tmp_path / "adapter")
    export_model(lab.model, tmp_path / "model", case_names=True)
    assert "never trained on: doe_jane, roe_richard" in everything_in(tmp_path / "model")
    export_model(lab.model, tmp_path / "counted")
    assert "never trained on: 2 cases" in everything_in(tmp_path / "counted")


def test_a_card_gives_the_modality_that_a_gate_needs(lab: Lab, tmp_path: Path) -> None:
    export_adapter(find_adapter("segvol-mini-mri"), tmp_path / "expert")
    card = (tmp_path / "expert" / "README.md").read_text("utf-8")
    assert "segment scan.nii.gz --modality MRI --model segvol-mini-2 --adapter expert" in card
    export_adapter(lab.lora, tmp_path / "lora")
    export_model(lab.model, tmp_path / "net")
    for folder in ("lora", "net"):
        card = (tmp_path / folder / "README.md").read_text("utf-8")
        assert "segment scan.nii.gz --modality MODALITY" in card
        assert "MODALITY is the scan's, such as CT or MRI" in card


def test_a_card_names_no_page_that_was_left_behind(lab: Lab, tmp_path: Path) -> None:
    values = {**VALUES, "verdict": "It helped.", "report": "report.md, or report.html, beside this card."}
    (tmp_path / "adapted").mkdir()
    copy_with_card(lab.lora, tmp_path / "adapted" / "knee", values)
    export_adapter(tmp_path / "adapted" / "knee", tmp_path / "shared")
    text = everything_in(tmp_path / "shared")
    assert "It helped." in text
    assert "report." not in text


def test_the_licence_of_an_adapter_stands_in_its_own_front_matter(lab: Lab, tmp_path: Path) -> None:
    own = ModelCard.load(find_adapter("segvol-mini-mri") / "README.md")
    assert (own.data.license, own.data.license_name) == ("other", "research-only")
    assert ModelCard.load(lab.lora / "README.md").data.license == "unknown"
    export_adapter(lab.lora, tmp_path / "shared", licence="CC BY-NC 4.0")
    export_adapter(tmp_path / "shared", tmp_path / "again")
    assert ModelCard.load(tmp_path / "again" / "README.md").data.license == "cc-by-nc-4.0"


def test_the_owner_may_state_the_licence(lab: Lab, tmp_path: Path) -> None:
    export_adapter(lab.lora, tmp_path / "unstated")
    assert ModelCard.load(tmp_path / "unstated" / "README.md").data.license == "unknown"
    export_adapter(lab.lora, tmp_path / "shared", licence="CC BY-NC 4.0")
    assert ModelCard.load(tmp_path / "shared" / "README.md").data.license == "cc-by-nc-4.0"


def test_a_place_that_is_taken_stays_as_it_is(lab: Lab, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "precious").write_text("precious")
    for line in (
        ["models", "export", str(lab.model), str(tmp_path / "taken"), "--to", "huggingface"],
        ["adapters", "export", str(lab.lora), str(tmp_path / "taken"), "--to", "peft", "--base", str(lab.model)],
        ["models", "export", str(lab.model), str(tmp_path / "taken"), "--to", "monai", "--structures", "liver"],
    ):
        with pytest.raises(SystemExit) as left:
            main(line)
        said = capsys.readouterr().err
        assert left.value.code == 2
        assert "exists already and is not empty" in said
        assert said.count("\n") == 1
    assert [path.name for path in (tmp_path / "taken").iterdir()] == ["precious"]
    (tmp_path / "empty").mkdir()
    export_model(lab.model, tmp_path / "empty")


def test_a_failure_leaves_nothing(lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "segevolution.exports.huggingface.write_card", lambda *_: (_ for _ in ()).throw(OutputError("x"))
    )
    with pytest.raises(OutputError):
        export_model(lab.model, tmp_path / "shared")
    assert list(tmp_path.iterdir()) == []


def test_faults_of_the_input_are_said(lab: Lab, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="nowhere"):
        export_model("nowhere", tmp_path / "shared")
    with pytest.raises(AdapterError, match="not an adapter"):
        export_adapter(lab.model, tmp_path / "shared")
    damaged = copy.deepcopy(lab.network)
    save_model(damaged, tmp_path / "damaged", card="---\nlicense: [a\n---\n# A net\n")
    with pytest.raises(CheckpointError, match=r"README\.md is not valid YAML"):
        export_model(tmp_path / "damaged", tmp_path / "shared")
    assert not (tmp_path / "shared").exists()


def test_a_model_without_a_word_on_its_licence_says_so(tmp_path: Path) -> None:
    save_model(TinyBackbone().eval(), tmp_path / "net")
    export_model(tmp_path / "net", tmp_path / "shared")
    card = ModelCard.load(tmp_path / "shared" / "README.md")
    assert card.data.license == "unknown"
    assert "The weights: not stated" in card.text
    assert "What it was trained on is not stated" in (tmp_path / "shared" / "LICENSE").read_text("utf-8")


def test_licences_in_the_words_of_the_hub() -> None:
    assert hub_licence("CC BY-NC-SA 4.0") == ("cc-by-nc-sa-4.0", None)
    assert hub_licence("Apache-2.0") == ("apache-2.0", None)
    assert hub_licence("Research use only: not clear.") == ("other", "research-only")
    assert hub_licence("ask us") == ("other", "as-stated-in-license")
    assert hub_licence(None) == ("unknown", None)


def test_a_public_name_holds_no_folder(tmp_path: Path) -> None:
    assert public_name(str(tmp_path / "knee")) == "knee"
    assert public_name("~/models/knee") == "knee"
    assert public_name("BAAI/SegVol") == "BAAI/SegVol"
    assert public_name("segvol-mini") == "segvol-mini"
