"""The patient in millimetres that tests of this folder share."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture(scope="session")
def phantom() -> ModuleType:
    spec = importlib.util.spec_from_file_location("segevolution_phantom", Path(__file__).with_name("phantom.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
