"""Device, seed and threads: what a run needs to be repeatable on this machine."""

import random

import numpy as np
import torch

from .errors import DeviceError
from .processors import usable_processors


def resolve_device(name: str = "auto") -> torch.device:
    """The device of a name: "auto" takes CUDA where it is, else the CPU; "cpu", "cuda", "cuda:1", "mps" mean these.

    Raises:
        DeviceError: the device is not there, or no device has that name.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except (RuntimeError, TypeError, ValueError) as error:
        raise DeviceError(f'"{name}" is not a device; use auto, cpu or cuda.') from error
    if device.type not in ("cpu", "cuda", "mps"):
        raise DeviceError(f'"{name}" is not supported; use auto, cpu or cuda.')
    counts = {"cpu": 1, "cuda": torch.cuda.device_count(), "mps": int(torch.backends.mps.is_available())}
    device_count, number = counts[device.type], device.index or 0
    if not device_count:
        raise DeviceError(f'"{name}" was asked for, but torch finds no such device here; use --device cpu.')
    if number >= device_count:
        raise DeviceError(f'"{name}" was asked for, but there are only {device_count} here, counted from 0.')
    return device


def has_bfloat16(device: torch.device) -> bool:
    """Whether the device computes in bfloat16 at a speed that makes it worth asking for.

    A processor without the instructions (AVX-512 with its bfloat16 part or AMX; Arm's) does it number by number: 70
    times as long as float32 for a matrix product and 200 times for a convolution, measured on one with AVX2 alone.
    """
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    return device.type != "cpu" or bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def seed_everything(seed: int) -> np.random.Generator:
    """Seed Python, numpy and torch; the returned generator is for everything that takes one."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)
    return np.random.default_rng(seed)


def limit_threads(count: int | None = None) -> int:
    """Let torch use `count` threads (default: see `usable_processors`); returns the number."""
    threads = count or usable_processors()
    torch.set_num_threads(threads)
    return threads
