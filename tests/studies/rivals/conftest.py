"""The toy study, see toy_study.py."""

import importlib.util
import sys
from pathlib import Path

_NAME = "segevolution_toy_study"

if _NAME not in sys.modules:
    spec = importlib.util.spec_from_file_location(_NAME, Path(__file__).parents[2] / "toy_study.py")
    sys.modules[_NAME] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(sys.modules[_NAME])

toy = sys.modules[_NAME]
toy_root, toy_values, toy_recipe = toy.toy_root, toy.toy_values, toy.toy_recipe
quick_fit, changed, plain_pictures, plan_of = toy.quick_fit, toy.changed, toy.plain_pictures, toy.plan_of
