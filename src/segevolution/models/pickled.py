"""Weights that others wrote with torch.save, read without running anything that is in them."""

import pickle
import re
import warnings
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.serialization import safe_globals

from ..errors import CheckpointError


def read_pickled(path: Path, allowed: Sequence[type] = ()) -> Any:
    """What torch.save wrote, where it is tensors and plain values only; nothing in the file is ever run.

    Args:
        path: of the file.
        allowed: classes without code of their own that it may hold as well, such as argparse.Namespace.

    Raises:
        CheckpointError: it is no such file, is damaged, or holds anything else, which could run code when opened.
    """
    with path.open("rb") as stream:
        start = stream.read(1)
    if start not in (b"", b"P", pickle.PROTO):  # a zip starts with PK, torch's older format is a bare pickle
        raise CheckpointError(f"{path} is not a checkpoint: it is no file that torch.save wrote.")
    try:
        with (
            warnings.catch_warnings(action="ignore"),  # of torch, about pickles that are refused in the end
            safe_globals(list(allowed)),
        ):
            return torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except pickle.UnpicklingError as error:
        class_name = re.search(r"(?:GLOBAL |class )([\w.]*\.[\w.]+)", str(error))
        class_text = f" ({class_name[1]})" if class_name else ""
        raise CheckpointError(
            f"{path} holds more than tensors{class_text}, which could run code when opened; it was refused and nothing "
            "in it was run. Get these weights from their publisher, or as safetensors."
        ) from None
    except Exception as error:  # torch raises whatever a damaged file makes it stumble over
        first = str(error).splitlines()[0][:120] if str(error) else "it ends too early"
        raise CheckpointError(f"{path} is damaged or cut short ({first}); fetch it again.") from None


def require_plain(name: str, tensor: Tensor, path: Path) -> None:
    """Refuse, with a CheckpointError, a tensor that is not plain numbers in this very file."""
    plain = tensor.layout is torch.strided and tensor.device.type == "cpu" and not tensor.is_quantized
    if not plain or tensor.numel() * tensor.element_size() > path.stat().st_size:
        raise CheckpointError(f"{path} holds no plain numbers under {name}, so it is none of the published files.")
