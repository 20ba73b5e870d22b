"""What is drawn as prompts for a seed never changes by accident: trainings and tables could not be repeated."""

import importlib.util
import json


def load(golden):
    spec = importlib.util.spec_from_file_location("make_draws", golden / "make_draws.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module, json.loads((golden / "draws.json").read_text(encoding="utf-8"))


def test_training_draws_the_same_prompts_as_ever(golden, toy):
    script, draws = load(golden)
    assert script.training_draws(toy) == draws["training"]


def test_evaluation_asks_the_same_questions_as_ever(golden):
    script, draws = load(golden)
    assert script.evaluation_draws() == draws["evaluation"]
