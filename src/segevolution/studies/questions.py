"""Choose which questions of a recipe each base is asked; those that it cannot answer are listed."""

from collections.abc import Collection, Mapping, Sequence

from ..appearance import SHIFTS
from ..data.record import CaseRecord
from ..errors import RecipeError
from ..evaluation.questions import Questions
from ..imaging.prompts import kinds_in
from ..vocabulary import Modality, canonical, did_you_mean
from .facts import BaseFacts, MethodFacts
from .recipe import UNTRAINED, Method, Recipe
from .varied import as_list, box_errors


def known_structures(recipe: Recipe, bases: Mapping[str, BaseFacts], labelled: Collection[str] = ()) -> tuple[str, ...]:
    """The structures a study measures; empty = all that a case carries.

    A structure that a base does not know can be named where a dataset labels it: methods that are trained learn it,
    and the base is asked for it by points and boxes only.

    Raises:
        RecipeError: the recipe names one that neither a base was trained on nor any dataset labels.
    """
    requested = tuple(canonical(name) for name in recipe.structures)
    open_base = any(not base.spec.structures for base in bases.values())
    trained_on = dict.fromkeys(name for base in bases.values() for name in base.spec.structures)
    for name in requested:
        if not open_base and name not in trained_on and name not in labelled:
            hint = did_you_mean(name, {*trained_on, *labelled}, "leave it out.")
            bases_named = " and ".join(bases)
            raise RecipeError(f'{recipe.name}: structures holds "{name}", which {bases_named} does not know; {hint}')
    return requested or tuple(trained_on)


def questions_of(recipe: Recipe, base: MethodFacts, structures: tuple[str, ...], drawn: str) -> Questions:
    """All that a base is asked about a case.

    Args:
        structures: of `known_structures`.
        drawn: of `drawn_prompt`.

    Raises:
        RecipeError: it takes none of the recipe's prompts.
    """
    prompts = accepted(recipe.prompts, base)
    if not prompts:
        raise RecipeError(
            f"{recipe.name}: prompts hold {', '.join(recipe.prompts)}, which {base.name} does not take, and none "
            f"that it takes; it takes {base.takes_in_words}."
        )
    first_seed, *more_seeds = recipe.prompt_seeds or [recipe.prompt_seed]
    jitter, *more_jitters = as_list(recipe.box_jitter)
    points, *more_points = as_list(recipe.points)
    windows, *more_windows = as_list(recipe.windows)
    return Questions(
        prompts=prompts,
        contexts=tuple(recipe.contexts),
        structures=structures,
        windows=windows,
        seed=first_seed,
        points=points,
        box_jitter=jitter or 0,  # an integer zero, as in the keys from before there were several
        tolerance_mm=recipe.surface_tolerance_mm,
        surface=recipe.surface,
        drawn=drawn if drawn in prompts else None,
        more_seeds=tuple(more_seeds),
        more_jitters=tuple(more_jitters),
        box_jitter_unit=recipe.box_jitter_unit,
        clicks=recipe.clicks,
        centre=recipe.centre,
        more_points=tuple(more_points),
        more_boxes=box_errors(recipe.box_errors),
        more_windows=tuple(more_windows),
    )


def accepted(prompts: Sequence[str], base: MethodFacts) -> tuple[str, ...]:
    """Those combinations of which a base takes every kind."""
    return tuple(prompt for prompt in prompts if base.takes(kinds_in(prompt)))


def drawn_prompt(recipe: Recipe, bases: Mapping[str, BaseFacts]) -> str:
    """The prompt whose masks are drawn: as the recipe says, or the last that every base takes."""
    shared = [prompt for prompt in recipe.prompts if all(accepted([prompt], base) for base in bases.values())]
    return recipe.pictures or [*recipe.prompts, *shared][-1]


def shifts_of(recipe: Recipe, record: CaseRecord) -> list[tuple[str, float]]:
    """The shifts, each with a strength, that mean something on a case; those for any modality where it is not known."""
    return [
        (wish.name, strength)
        for wish in recipe.shifts
        if means_something(wish.name, record)
        for strength in wish.all_strengths
    ]


def means_something(shift: str, record: CaseRecord) -> bool:
    """Whether a shift can happen to a scan of this modality."""
    possible = SHIFTS[shift].modalities
    return record.modality in possible if record.modality is not None else possible >= frozenset(Modality)


def omissions(
    recipe: Recipe,
    facts: Mapping[str, MethodFacts],
    structures: Sequence[str],
    records: Mapping[str, Sequence[CaseRecord]],
) -> tuple[str, ...]:
    """A sentence for each question that a method or a dataset is not asked, and why; and for a leak.

    Args:
        facts: by method.
    """
    sentences = []
    if recipe.centre == "truth":
        sentences.append(
            "windows of networks that look at one place are centred on the truth, which no user knows: a leak, as in "
            "SAM-Med3D's published evaluation."
        )
    for method in recipe.methods:
        base = facts[method.name]
        refused = [prompt for prompt in recipe.prompts if prompt not in accepted(recipe.prompts, base)]
        if refused:
            sentences.append(
                f"{method.name} is not asked by {', '.join(refused)}: {base.name} takes {base.takes_in_words}."
            )
        unknown = _unknown(method, base, structures)
        if unknown and any("text" in prompt.split("+") for prompt in accepted(recipe.prompts, base)):
            sentences.append(
                f"{method.name} is not asked by text for {', '.join(unknown)}: {base.name} does not know them."
            )
        if recipe.clicks and not base.corrects:
            sentences.append(f"{method.name} is not corrected by clicks: {base.name} takes no points.")
    for wish in recipe.shifts:
        for dataset, cases in records.items():
            meaningless = [record for record in cases if not means_something(wish.name, record)]
            if meaningless:
                modalities = ", ".join(
                    dict.fromkeys(str(record.modality or "an unknown modality") for record in meaningless)
                )
                sentences.append(
                    f"{wish.name} is not applied to {len(meaningless)} of {len(cases)} cases of {dataset}: it means "
                    f"nothing on {modalities}."
                )
    return tuple(sentences)


def _unknown(method: Method, base: MethodFacts, structures: Sequence[str]) -> list[str]:
    """What a method is not asked for by text: a trained one has learned what its base did not know."""
    return base.unknown(structures) if method.trained_as == UNTRAINED else []
