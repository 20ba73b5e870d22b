"""Fixtures that every test may use."""

from pathlib import Path

import pytest
import torch

torch.set_num_threads(1)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real volumes beside a developer's checkout; a lone clone skips what needs them."""
    folder = Path(__file__).resolve().parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("the real volumes (../shared/data) are not here")
    return folder


@pytest.fixture(scope="session")
def golden() -> Path:
    """Numbers computed by the published code; see golden/README.md."""
    return Path(__file__).parent / "golden"
