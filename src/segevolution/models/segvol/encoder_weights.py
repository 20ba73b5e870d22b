"""An image encoder on disk, and into a network: what SimMIM pre-training leaves, and what training can start from.

    encoder.safetensors   the network's own names, all behind `image_encoder.`; no mask token, no pixel head
    simmim.json           how it came about, with the sizes of its network under "network"

`load_encoder(network, path)` is the door for whoever starts a training (`train --encoder PATH`). Beside such a folder
it reads the published forms (`vit_pretrain.ckpt`, see `published.py`) and model folders of this package.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from torch import Tensor

from ...documents import read_json
from ...errors import CheckpointError
from ...files import replacing, write_json
from ..backbone import BackboneModule, Triple
from ..checkpoints import load_state, read_weights
from .layer_groups import ENCODER
from .published import read_published
from .resize import interpolated
from .segvol import SegVol

WEIGHTS, FACTS, FOLDER = "encoder.safetensors", "simmim.json", "encoder"
POSITIONS = f"{ENCODER}patch_embedding.position_embeddings"


@dataclass(frozen=True)
class LoadedEncoder:
    """What was found in a file.

    Attributes:
        source: the file that was read.
        used: number of tensors that were taken.
        dropped: names, as in the file, of what an image encoder has no place for, such as a mask token.
        grid: the token grid that position embeddings were interpolated from; None where they fitted.
    """

    source: Path
    used: int
    dropped: tuple[str, ...] = ()
    grid: Triple | None = None

    def __str__(self) -> str:
        sentence = f"{self.used} tensors of the image encoder from {self.source}"
        if self.grid is not None:
            sentence += f", positions interpolated from {'x'.join(map(str, self.grid))} tokens"
        return sentence + (f", dropped {', '.join(self.dropped)}" if self.dropped else "")


def save_encoder(network: SegVol, folder: Path, facts: Mapping[str, Any]) -> None:
    """Write a network's image encoder and what is to be known of it.

    Args:
        network: without an adapter.
        folder: created; files of that name are replaced.
        facts: plain values for simmim.json.

    Raises:
        CheckpointError: the network carries an adapter.
        OutputError: the folder cannot be written.
    """
    _refuse_adapter(network)
    state = {name: value.detach().cpu().contiguous() for name, value in _encoder_of(network.state_dict()).items()}
    with replacing(Path(folder) / WEIGHTS) as temporary:
        save_file(state, temporary, metadata={"format": "pt"})
    write_json(Path(folder) / FACTS, {**facts, "network": network.config.to_dict()})


def load_encoder(network: BackboneModule, path: Path) -> LoadedEncoder:
    """Put a pre-trained image encoder into a network; all else of the network stays.

    Position embeddings of another token grid are interpolated, where the file says which grid they are of.

    Args:
        network: a SegVol without an adapter, of the encoder's sizes.
        path: what `save_encoder` wrote (its folder, the run that holds it, or encoder.safetensors), a published file
            such as `vit_pretrain.ckpt`, or a model folder.

    Raises:
        CheckpointError: the file is missing, unsafe or something else, or its encoder does not fit the network's.
    """
    if not isinstance(network, SegVol):
        raise CheckpointError(f"a {type(network).__name__} has no image encoder of SegVol, so {path} cannot be used.")
    _refuse_adapter(network)
    file, sizes = _find(Path(path))
    if file.name == WEIGHTS:
        weights, dropped = read_weights(file), []
    else:
        weights, report = read_published(file)
        dropped = list(report.dropped)
    network_state = network.state_dict()
    parts = {_part(name) for name in network_state}
    # A tensor beside known ones can be left out; a whole block cannot: that would be another network.
    encoder_weights = {
        name: value for name, value in _encoder_of(weights).items() if name in network_state or _part(name) not in parts
    }
    dropped += sorted(weights.keys() - encoder_weights.keys())
    if not encoder_weights:
        raise CheckpointError(f"{file} holds no image encoder of SegVol; give what pre-training wrote.")
    grid: Triple | None = None
    if sizes is not None and POSITIONS in encoder_weights and sizes != network.config.grid:
        grid = sizes
        encoder_weights[POSITIONS] = interpolated(encoder_weights[POSITIONS], grid, network.config.grid, 3)
    others = {name: value for name, value in network_state.items() if not name.startswith(ENCODER)}
    load_state(network, {**others, **encoder_weights}, where=str(file))
    return LoadedEncoder(file, len(encoder_weights), tuple(dropped), grid)


def _find(path: Path) -> tuple[Path, Triple | None]:
    """The file to read, and the token grid it is of where something beside it says so."""
    for folder in (path, path / FOLDER):
        if (folder / WEIGHTS).is_file():
            path = folder / WEIGHTS
    if path.name == WEIGHTS:
        return path, _grid(path.parent / FACTS, "network")
    return path, _grid(path / "config.json", None) if path.is_dir() else None


def _grid(path: Path, key: str | None) -> Triple | None:
    """Tokens along each axis, from the window and the patch that a JSON file tells."""
    try:
        sizes = read_json(path, dict[str, Any], error=CheckpointError)
        sizes = sizes if key is None else sizes[key]
        depth, height, width = (side // patch for side, patch in zip(sizes["window"], sizes["patch"], strict=True))
    except (CheckpointError, ValueError, KeyError, TypeError, ZeroDivisionError):
        return None  # what it says of itself is lost; its tensors then have to fit as they are
    return depth, height, width


def _encoder_of(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: value for name, value in state.items() if name.startswith(ENCODER)}


def _part(name: str) -> str:
    """The part of the encoder that a tensor belongs to, such as image_encoder.blocks.3 or image_encoder.norm."""
    steps = name.split(".")
    return ".".join(steps[: 3 if steps[1:2] == ["blocks"] else 2])


def _refuse_adapter(network: SegVol) -> None:
    if any(".base_layer." in name for name in network.state_dict()):
        raise CheckpointError("the network carries an adapter, so its encoder is not its own; detach that first.")
