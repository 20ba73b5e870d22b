"""A training says how far it is and how long the rest takes, also in a log."""

from types import SimpleNamespace
from typing import Any

import pytest

from segevolution.progress import duration, progress_bar
from segevolution.training.progress_callback import TrainingProgress


@pytest.mark.parametrize(("seconds", "said"), [(12.3, "12 s"), (89, "89 s"), (600, "10 min"), (9000, "2.5 h")])
def test_a_time_is_said_as_a_person_says_it(seconds: float, said: str) -> None:
    assert duration(seconds) == said


def test_a_log_has_a_line_at_the_start_after_some_steps_and_at_each_tenth() -> None:
    lines: list[str] = []
    callback = TrainingProgress(lines.append)
    trainer: Any = SimpleNamespace(global_step=0, max_steps=100)
    callback.on_train_start(trainer, None)  # type: ignore[arg-type]
    for step in range(1, 101):
        trainer.global_step = step
        callback.on_train_batch_end(trainer, None, None, None, step)  # type: ignore[arg-type]
    callback.on_train_end(trainer, None)  # type: ignore[arg-type]
    assert lines[0] == "training, 100 of 100 steps to do"
    assert lines[1].startswith("step 5 of 100, about ")
    assert [line.split()[1] for line in lines[2:]] == [str(step) for step in range(10, 101, 10)]
    assert lines[-1].endswith("about 0 s left")


def test_a_training_that_goes_on_counts_from_where_it_was() -> None:
    lines: list[str] = []
    callback = TrainingProgress(lines.append)
    trainer: Any = SimpleNamespace(global_step=90, max_steps=100)
    callback.on_train_start(trainer, None)  # type: ignore[arg-type]
    assert lines == ["training, 10 of 100 steps to do"]


def test_no_bar_is_drawn_where_stderr_is_no_terminal() -> None:
    assert progress_bar().disable
    assert progress_bar(quiet=True).disable
