"""Choose the training cases of a run: all of them, a number of shots, or some of each dataset in turn."""

from collections.abc import Iterable, Mapping, Sequence

from ..data.balance import round_robin
from ..data.record import CaseRecord
from ..data.splits import few_shot
from ..errors import RecipeError, StoreError
from ..recipes.roles import CaseMember, CaseName, case_key, members
from .recipe import Recipe


def learned(
    recipe: Recipe,
    train: tuple[CaseName, ...],
    records: Mapping[str, Sequence[CaseRecord]],
    seed: int,
    shots: int | None = None,
    count: int | None = None,
) -> tuple[CaseName, ...]:
    """Those training cases that a run learns from, chosen by its seed as the recipe's shots or sampler say.

    Args:
        train: all that it may learn from, in the order that is kept.
        records: dataset name -> its cases.
        shots: patients of each dataset and modality; None = as many as there are.
        count: of cases, one of each dataset in turn; None = as the recipe says.

    Raises:
        RecipeError: there are fewer than is asked for.
    """
    count = count or recipe.count
    if shots is None and count is None:
        return train
    allowed = {case_key(name.dataset, name.case) for name in train}
    train_members = [
        member for name, cases in records.items() for member in members(name, cases) if member.name in allowed
    ]
    if shots is not None:
        _require_patients(recipe, train_members, shots)
        chosen_cases = set(few_shot(train_members, shots, seed))
    else:
        try:
            chosen_cases = set(round_robin(train_members, count or 0, seed))
        except StoreError as error:
            raise RecipeError(f"{recipe.name}: count: {error}") from error
    return tuple(name for name in train if case_key(name.dataset, name.case) in chosen_cases)


def _require_patients(recipe: Recipe, there: Iterable[CaseMember], shots: int) -> None:
    patients: dict[str, set[str]] = {}
    for member in there:
        patients.setdefault(member.person[0], set()).add(member.person[1])
    for dataset, dataset_patients in patients.items():
        if len(dataset_patients) < shots:
            raise RecipeError(
                f"{recipe.name}: shots holds {shots}, but {dataset} has only {len(dataset_patients)} patients to train "
                f"on; give its train more, or leave {shots} out."
            )
