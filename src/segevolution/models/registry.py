"""The types of network by the name that config.json gives them; a second backbone is one line here."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, Self, cast

from ..documents import check
from ..errors import CheckpointError
from .backbone import BackboneModule
from .hermes.config import HermesConfig
from .hermes.hermes import Hermes
from .nninteractive.config import NnInteractiveConfig
from .nninteractive.nninteractive import NnInteractive
from .sam.config import SamConfig
from .sam.sam import Sam
from .sam_med3d.config import SamMed3dConfig
from .sam_med3d.sam_med3d import SamMed3d
from .segvol import folder as segvol_folder
from .segvol.segvol import SegVol
from .tiny import TinyBackbone, TinyConfig
from .unet.config import UnetConfig
from .unet.unet import Unet


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


class Sizes(Protocol):
    """The configuration of a network whose folder holds sizes and weights, and nothing else."""

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """From what `to_dict` gave; raises CheckpointError on another key."""
        ...

    def to_dict(self) -> dict[str, Any]:
        """Plain values for config.json."""
        ...


def sized(name: str, network: type[BackboneModule], sizes: type[Sizes]) -> NetworkType:
    """A network that is made from its sizes alone, and keeps them as `config`."""

    def build(values: Mapping[str, Any], folder: Path) -> BackboneModule:
        check(dict(values), sizes, where=str(folder / "config.json"), error=CheckpointError)
        return make(sizes.from_dict(values))

    def save(model: Any, folder: Path) -> dict[str, Any]:
        values: dict[str, Any] = model.config.to_dict()
        return values

    make = cast(Callable[[Any], BackboneModule], network)
    return NetworkType(name, network, build, save)


NETWORKS: dict[str, NetworkType] = {
    network.name: network
    for network in (
        NetworkType("segvol", SegVol, segvol_folder.build, segvol_folder.save),
        sized("sam", Sam, SamConfig),
        sized("sam_med3d", SamMed3d, SamMed3dConfig),
        sized("nninteractive", NnInteractive, NnInteractiveConfig),
        sized("unet", Unet, UnetConfig),
        sized("hermes", Hermes, HermesConfig),
        sized("tiny", TinyBackbone, TinyConfig),
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
