"""A model, with or without an adapter, as a MONAI bundle that writes label maps of the structures it names.

    bundle/
        configs/metadata.json      what goes in and comes out (https://docs.monai.io/en/stable/mb_specification.html)
        configs/inference.json     python -m monai.bundle run --config_file configs/inference.json
        models/model, adapter      our folders; safetensors in place of the pickle models/model.pt
        docs/README.md, data_license.txt, LICENSE

The network of the bundle is `label_map_network.LabelMapNetwork`, so this package has to be installed where it runs.
"""

from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import torch

from .. import __version__
from ..adapters.artifact import WEIGHTS as ADAPTER_WEIGHTS
from ..adapters.shipped import find_adapter
from ..files import json_text
from ..inference.calibration import read_calibration
from ..models import hub
from ..models.checkpoints import WEIGHTS
from ..vocabulary import Modality
from .adapter_facts import adapter_card
from .huggingface import copy_adapter, copy_model
from .label_map_network import LabelMapNetwork
from .model_facts import model_card
from .new_folder import new_folder
from .shared_card import CARD, LICENCE, RESEARCH, SharedCard, public_name

SCHEMA = "https://project-monai.github.io/schema/meta_schema_20240725.json"
MONAI, IGNITE = "1.6.1", "0.5.5"
"""The versions that a bundle was run with, see tests/exports/test_monai_bundle.py."""
MODEL, ADAPTER = "models/model", "models/adapter"

# DICOM's words, which MONAI takes for a modality.
_MODALITIES = {Modality.CT: "CT", Modality.MRI: "MR", Modality.PET: "PT", Modality.US: "US"}


def export_bundle(
    name: str | Path,
    output: Path,
    *,
    adapter: str | Path | None = None,
    structures: tuple[str, ...] = (),
    modality: str | None = None,
    licence: str | None = None,
    case_names: bool = False,
) -> tuple[str, ...]:
    """Write a bundle.

    Args:
        name: of the model, or its folder.
        output: a folder that is new or empty.
        adapter: an adapter folder or the name of one that ships.
        structures: that it segments, in the order of their labels; none = all that the network was trained on, a pair
            of organs side by side and not once more as a whole.
        modality: of the images; None = not known.
        licence, case_names: as for `export_adapter`.

    Returns:
        The structures.

    Raises:
        CheckpointError, AdapterError, VocabularyError: as `load`, and for unknown names.
        PromptError: the network reads no text, or has no list of structures and none were named.
        OutputError: the folder is taken, or cannot be written.
    """
    folder = hub.find(name)
    adapter_folder = None if adapter is None else find_adapter(adapter)
    network = LabelMapNetwork(folder, adapter_folder, structures=structures, modality=modality)
    spec = network.backbone.spec
    calibration = read_calibration(folder, folder / WEIGHTS)
    with new_folder(output) as bundle:
        title = output.absolute().name
        copy_model(folder, bundle / MODEL, calibration)
        cards = [model_card(title, folder, spec, calibration, licence=licence, case_names=case_names)]
        if adapter_folder is not None:
            known = read_calibration(adapter_folder, adapter_folder / ADAPTER_WEIGHTS)
            (bundle / ADAPTER).mkdir()
            copy_adapter(adapter_folder, bundle / ADAPTER, known, case_names=case_names, licence=licence)
            text = (bundle / ADAPTER / CARD).read_text(encoding="utf-8")
            base = public_name(str(name))
            cards.append(adapter_card(adapter_folder, text, known, base=base, use=(), licence=licence))
        for place, content in {
            "configs/metadata.json": json_text(metadata(title, network, cards)),
            "configs/inference.json": json_text(inference(network, with_adapter=adapter_folder is not None)),
            "docs/README.md": _readme(title, network.structures, cards),
            "docs/data_license.txt": "\n".join(line for card in cards for line in (*card.data_licences(), "")),
            LICENCE: "\n".join(card.licence_text() for card in cards),
        }.items():
            (bundle / place).parent.mkdir(exist_ok=True)
            (bundle / place).write_text(content, encoding="utf-8")
    return network.structures


def metadata(title: str, network: LabelMapNetwork, cards: list[SharedCard]) -> dict[str, Any]:
    """What stands in configs/metadata.json."""
    modality = "n/a" if network.modality is None else _MODALITIES[network.modality]
    labels = {"0": "background", **{str(label): name for label, name in enumerate(network.structures, start=1)}}
    shape = {"num_channels": 1, "spatial_shape": ["*", "*", "*"], "is_patch_data": False}
    image = {
        **{"type": "image", "format": "hounsfield" if modality == "CT" else "magnitude", "modality": modality},
        **shape,
        **{"dtype": "float32", "value_range": [], "channel_def": {"0": "signal as measured, never normalised"}},
    }
    answer = {
        **{"type": "image", "format": "segmentation", "modality": modality},
        **shape,
        **{"dtype": "uint8", "value_range": [0, len(network.structures)], "channel_def": labels},
    }
    licences = "; ".join(dict.fromkeys(card.licence or "not stated" for card in cards))
    return {
        "schema": SCHEMA,
        "version": __version__,
        "changelog": {__version__: f"exported by segevolution {__version__}"},
        "monai_version": MONAI,
        "pytorch_version": torch.__version__.partition("+")[0],
        "numpy_version": np.__version__,
        "required_packages_version": {
            "segevolution": __version__,
            "pytorch-ignite": IGNITE,
            "nibabel": nibabel.__version__,
        },
        "name": title,
        "task": f"segmentation of {len(network.structures)} structures, asked by their names",
        "description": " with ".join(card.title for card in cards),
        "authors": "see docs/README.md",
        "copyright": f"licence of the weights: {licences}",
        "data_source": "see docs/data_license.txt",
        "data_type": "nibabel",
        "image_classes": "one channel, signal as measured",
        "pred_classes": "one channel, the number of a structure, 0 is background",
        "intended_use": RESEARCH,
        "references": ["Du et al. 2024, SegVol, arXiv:2311.13385"],
        "network_data_format": {"inputs": {"image": image}, "outputs": {"pred": answer}},
    }


def inference(network: LabelMapNetwork, *, with_adapter: bool) -> dict[str, Any]:
    """What stands in configs/inference.json: every NIfTI in `dataset_dir` becomes a label map in `output_dir`."""
    saving = {
        **{"_target_": "SaveImaged", "keys": "pred", "output_dir": "@output_dir", "output_postfix": "seg"},
        **{"output_dtype": "$np.uint8", "resample": False, "separate_folder": False},
    }
    return {
        "imports": ["$import glob", "$import numpy as np", "$import torch"],
        "bundle_root": ".",
        "dataset_dir": "$@bundle_root + '/images'",
        "output_dir": "$@bundle_root + '/eval'",
        "device": "$torch.device('cuda:0' if torch.cuda.is_available() else 'cpu')",
        "structures": list(network.structures),
        "modality": None if network.modality is None else network.modality.value,
        "datalist": "$sorted(glob.glob(@dataset_dir + '/*.nii') + glob.glob(@dataset_dir + '/*.nii.gz'))",
        "network_def": {
            "_target_": f"{LabelMapNetwork.__module__}.{LabelMapNetwork.__qualname__}",
            "model": f"$@bundle_root + '/{MODEL}'",
            "adapter": f"$@bundle_root + '/{ADAPTER}'" if with_adapter else None,
            "structures": "@structures",
            "modality": "@modality",
        },
        "network": "$@network_def.to(@device)",
        "preprocessing": {
            "_target_": "Compose",
            "transforms": [{"_target_": "LoadImaged", "keys": "image", "ensure_channel_first": True}],
        },
        "dataset": {
            "_target_": "Dataset",
            "data": "$[{'image': path} for path in @datalist]",
            "transform": "@preprocessing",
        },
        "dataloader": {"_target_": "DataLoader", "dataset": "@dataset", "batch_size": 1, "num_workers": 0},
        "inferer": {"_target_": "SimpleInferer"},
        "postprocessing": {"_target_": "Compose", "transforms": [saving]},
        "evaluator": {
            "_target_": "SupervisedEvaluator",
            "device": "@device",
            "val_data_loader": "@dataloader",
            "network": "@network",
            "inferer": "@inferer",
            "postprocessing": "@postprocessing",
        },
        "run": ["$@evaluator.run()"],
    }


def _readme(title: str, structures: tuple[str, ...], cards: list[SharedCard]) -> str:
    """Text of docs/README.md."""
    labels = "\n".join(f"| {label} | {name} |" for label, name in enumerate(structures, start=1))
    use = f"""# {title}

A MONAI bundle. It needs segevolution {__version__} beside MONAI {MONAI}, pytorch-ignite {IGNITE} and, for its
command, fire. There is no `models/model.pt`, since a pickle can run code: the weights are safetensors in `{MODEL}`,
and `network_def` reads them.

```bash
python -m monai.bundle run --config_file configs/inference.json --dataset_dir images --output_dir masks
```

Every NIfTI file in `images` becomes a label map on its own grid. Other structures: `--structures "['liver']"`.

| label | structure |
|---|---|
{labels}
"""
    return "\n".join([use, *(card.markdown() for card in cards)])
