"""The public SegVol checkpoints, read safely and under our names, and written back under theirs.

Three forms are in circulation (SegVol, Du et al. 2024, arXiv:2311.13385), told apart by what they hold:

    hub       `pytorch_model.bin` of BAAI/SegVol: a state dict, names behind `model.`
    release   `SegVol_v1.pth`: the state dict lies under the key `model`, names behind DataParallel's `module.`
    pretrain  `vit_pretrain.ckpt`: under `state_dict`, the image encoder alone, names behind `model.encoder.`

The text tower's names have an inner level `text_model.` in the published files and under transformers 4, and older
files an `embeddings.position_ids` buffer; transformers 5 has neither. Ours are those of transformers 5.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from ...errors import CheckpointError, OutputError
from ...files import replacing
from ..backbone import BackboneModule
from ..checkpoints import load_state, read_weights, save_model
from ..outline import outlined
from ..pickled import read_pickled, require_plain
from ..tensor_files import check_weights
from .config import SegVolConfig
from .folder import clip_tokenizer
from .layer_groups import ENCODER
from .segvol import SegVol
from .tokenizer import Tokenizer

HUB_FILES = ("model.safetensors", "pytorch_model.bin")
TEXT = "text_encoder.clip_text_model."
POSITION_IDS = "embeddings.position_ids"


@dataclass(frozen=True)
class ConversionReport:
    """What was found in a published file.

    Attributes:
        form: see the module's docstring.
        used: number of tensors that were taken.
        dropped: names, as in the file, of what our network has no place for.
    """

    form: Literal["hub", "release", "pretrain"]
    used: int
    dropped: tuple[str, ...] = ()

    def __str__(self) -> str:
        dropped = f", dropped {', '.join(self.dropped)}" if self.dropped else ""
        return f"{self.used} tensors in the {self.form} form{dropped}"


def read_published(path: Path) -> tuple[dict[str, Tensor], ConversionReport]:
    """Read any of the three forms, as pickle or safetensors, into our names.

    Args:
        path: the file, or a folder in the hub's layout that holds it.

    Raises:
        CheckpointError: it is missing, truncated, no checkpoint, none of the three forms, or a pickle that holds
            anything but tensors and plain values, which could run code and is not opened.
    """
    path = published_file(path)
    content: Any = read_weights(path) if path.suffix == ".safetensors" else read_pickled(path)
    form, named = _form(content)
    tensors = {name: value for name, value in named.items() if isinstance(name, str) and isinstance(value, Tensor)}
    for name, value in tensors.items():
        require_plain(name, value, path)
    if not tensors:
        raise CheckpointError(f"{path} holds no tensors under names, so it is none of the published SegVol files.")
    state, dropped = {}, []
    for name, tensor in tensors.items():
        ours = _our_name(name, form)
        if ours is None:
            dropped.append(name)
        else:
            state[ours] = tensor.float() if tensor.is_floating_point() else tensor
    if not any(name.startswith(ENCODER) for name in state):
        raise CheckpointError(f"{path} holds no image encoder of SegVol; its first name is {next(iter(tensors))}.")
    check_weights(state, str(path), CheckpointError)
    return state, ConversionReport(form, len(state), tuple(dropped))


def load_published(path: Path, tokenizer: Tokenizer | None = None) -> tuple[SegVol, ConversionReport]:
    """The published network, with its weights, in eval mode.

    Args:
        path: a `pytorch_model.bin`, a `SegVol_v1.pth`, or a folder in the hub's layout.
        tokenizer: CLIP's; None takes it from the files beside the checkpoint, without which text is out of reach.

    Raises:
        CheckpointError: see read_published; or the weights are not exactly those of the published network.
    """
    outline, report = _outline(path, tokenizer)
    with torch.random.fork_rng(devices=[]):
        model = SegVol(outline.config, outline.text_encoder.tokenizer if outline.text_encoder else None)
    load_state(model, outline.state_dict(), where=str(path))
    return model.eval(), report


def convert_published(path: Path, folder: Path, card: str | None = None, *, force: bool = True) -> ConversionReport:
    """Write the published network as a model folder of ours.

    Raises:
        CheckpointError: see load_published.
        OutputError: see save_model.
    """
    outline, report = _outline(path, None)
    save_model(outline, folder, card=card, force=force)
    return report


def _outline(path: Path, tokenizer: Tokenizer | None) -> tuple[SegVol, ConversionReport]:
    """The published network with the file's tensors in place, made in no time, but without its computed buffers: good
    to check and to save, not to run."""
    state, report = read_published(path)
    if report.form == "pretrain":
        raise CheckpointError(
            f"{path} holds a pretrained image encoder alone; start training from it, or give pytorch_model.bin."
        )
    with outlined():
        model = SegVol(SegVolConfig.published(), tokenizer or clip_tokenizer(published_file(path).parent))
    load_state(model, state, where=str(path), assign=True)
    return model, report


def to_published(model: BackboneModule, path: Path, *, force: bool = True) -> None:
    """Write the state dict under the names of the hub's `pytorch_model.bin`, so that published code can load it.

    Raises:
        CheckpointError: the model is no SegVol.
        OutputError: the file cannot be written, or exists and `force` is False.
    """
    if not isinstance(model, SegVol):
        raise CheckpointError(f"a {type(model).__name__} has no published form; only a SegVol can be written so.")
    if Path(path).is_dir():
        raise OutputError(f"{path} is a folder; give the file to write, such as {path}/{HUB_FILES[1]}.")
    state = {published_name(name): tensor.detach().cpu().clone() for name, tensor in model.state_dict().items()}
    with replacing(path, force=force) as temporary:
        torch.save(state, temporary)


def published_file(path: Path) -> Path:
    """The checkpoint in a folder of the hub's layout, or the file itself.

    Raises:
        CheckpointError: there is none.
    """
    path = Path(path)
    if path.is_dir():
        for name in HUB_FILES:
            if (path / name).is_file():
                return path / name
        raise CheckpointError(f"{path} holds no published weights: neither {' nor '.join(HUB_FILES)} is there.")
    if not path.is_file():
        raise CheckpointError(f"{path} is not there; give a published checkpoint or a folder that holds one.")
    return path


def _form(content: Any) -> tuple[Literal["hub", "release", "pretrain"], Mapping[str, Any]]:
    if not isinstance(content, Mapping):
        return "hub", {}
    for key, form in (("state_dict", "pretrain"), ("model", "release")):
        if isinstance(content.get(key), Mapping):
            inner = content[key]
            alone = any(str(name).startswith("model.encoder.") for name in inner)
            return ("pretrain" if form == "pretrain" and alone else "release"), inner
    return "hub", content


def _our_name(name: str, form: str) -> str | None:
    """Ours for a published name; None for what our network has no place for."""
    if form == "pretrain":
        return ENCODER + name.removeprefix("model.encoder.") if name.startswith("model.encoder.") else None
    short = name.removeprefix("module.").removeprefix("model.")
    if short.startswith(TEXT):
        short = TEXT + short.removeprefix(TEXT).removeprefix("text_model.")
        if short == TEXT + POSITION_IDS:
            return None
    return short


def published_name(name: str) -> str:
    """The hub's name for one of ours."""
    if name.startswith(TEXT):
        name = f"{TEXT}text_model.{name.removeprefix(TEXT)}"
    return f"model.{name}"
