"""The types of network by the name that config.json gives them; a second backbone is one line here."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..documents import check
from ..errors import CheckpointError
from .backbone import BackboneModule
from .sam.config import SamConfig
from .sam.sam import Sam
from .segvol import folder as segvol_folder
from .segvol.segvol import SegVol
from .tiny import TinyBackbone, TinyConfig


@dataclass(frozen=True)
class NetworkType:
    """How one type of network is made from a folder and described in one.

    Attributes:
        name: what config.json calls it.
        type: its class.
        build: (sizes from config.json, folder that may hold more files) -> the network, weights not yet loaded.
        save: (network, folder) -> its sizes for config.json; writes what else `build` needs into the folder.
    """

    name: str
    type: type[BackboneModule]
    build: Callable[[Mapping[str, Any], Path], BackboneModule]
    save: Callable[[Any, Path], dict[str, Any]]


def _build_tiny(sizes: Mapping[str, Any], folder: Path) -> TinyBackbone:
    check(dict(sizes), TinyConfig, where=str(folder / "config.json"), error=CheckpointError)
    return TinyBackbone(TinyConfig.from_dict(sizes))


def _save_tiny(model: TinyBackbone, _: Path) -> dict[str, Any]:
    return model.config.to_dict()


def _build_sam(sizes: Mapping[str, Any], folder: Path) -> Sam:
    check(dict(sizes), SamConfig, where=str(folder / "config.json"), error=CheckpointError)
    return Sam(SamConfig.from_dict(sizes))


def _save_sam(model: Sam, folder: Path) -> dict[str, Any]:
    return model.config.to_dict()


NETWORKS: dict[str, NetworkType] = {
    network.name: network
    for network in (
        NetworkType("segvol", SegVol, segvol_folder.build, segvol_folder.save),
        NetworkType("sam", Sam, _build_sam, _save_sam),
        NetworkType("tiny", TinyBackbone, _build_tiny, _save_tiny),
    )
}


def network_named(name: str, where: str) -> NetworkType:
    """The network that config.json of `where` names; raises CheckpointError for an unknown one."""
    if name not in NETWORKS:
        raise CheckpointError(f'{where} holds a "{name}" network; this version knows {", ".join(NETWORKS)}.')
    return NETWORKS[name]


def network_of(model: BackboneModule) -> NetworkType:
    """The registered type of a model; raises CheckpointError where there is none."""
    for network in NETWORKS.values():
        if type(model) is network.type:
            return network
    raise CheckpointError(f"a {type(model).__name__} cannot be saved; register its type in models/registry.py.")
