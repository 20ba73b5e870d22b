"""What clients get, as plain values."""

from typing import Any

from ...imaging.prompts import Prompt, PromptKind
from ...vocabulary import STRUCTURES, synonyms
from ..answerers import AnswererChoice, Answerers
from ..dialogue import WAITING
from ..volumes import Handle
from ..workspace import Facts, SessionWorkspace, Structure


def volume_reply(handle: Handle) -> dict[str, Any]:
    """What is said of a volume."""
    volume = handle.volume
    low, high = handle.content.display
    return {
        "id": handle.id,
        "name": handle.name,
        "modality": volume.modality,
        "shape": list(volume.grid.shape),
        "spacing": list(volume.grid.spacing),
        "affine": volume.grid.affine.tolist(),
        "orientation": volume.grid.orientation,
        "orientation_stated": volume.orientation_stated,
        "spacing_stated": volume.spacing_stated,
        "display": {"low": low, "high": high},
        "image": f"/api/volumes/{handle.id}/image.nii",
        "warnings": list(handle.content.warnings),
    }


def adapter_reply(answerer: AnswererChoice, answerers: Answerers) -> dict[str, Any]:
    """What is said of one thing that can answer."""
    loaded = answerers.is_loaded(answerer)
    return {
        "id": answerer.id,
        "title": answerer.title,
        "model": answerer.title.partition(" with ")[0],
        "adapter": None if answerer.adapter is None else answerer.title.partition(" with ")[2],
        "expert_for": list(answerer.expert_for),
        "loaded": loaded,
        "accepts": sorted(answerers.load(answerer).spec.accepts) if loaded else None,
    }


def session_reply(token: str, workspace: SessionWorkspace, idle_seconds: float) -> dict[str, Any]:
    """What is said of a session."""
    return {
        "id": token,
        "volume": volume_reply(workspace.handle),
        "adapter": workspace.answerer.id,
        "accepts": sorted(workspace.accepts),
        "idle_seconds": idle_seconds,
        "structures": [structure_reply(structure) for _, structure in sorted(workspace.structures.items())],
        "warnings": list(workspace.handle.content.warnings),
    }


def structure_reply(structure: Structure, facts: Facts | None = None) -> dict[str, Any]:
    """What is said of a structure; `facts` where they are another answer's than its own."""
    dialogue, facts = structure.dialogue, facts or structure.facts
    answer = dialogue.current
    waiting = (WAITING,) if dialogue.waiting and answer is None else ()
    return {
        "id": structure.id,
        "name": structure.name,
        "colour": structure.colour,
        "visible": structure.visible,
        "voxels": facts.voxels,
        "volume_ml": None if facts.volume_ml is None else round(facts.volume_ml, 3),
        "mean_intensity": None if facts.mean_intensity is None else round(facts.mean_intensity, 3),
        "confidence": None if facts.confidence is None else round(facts.confidence, 4),
        "warnings": list(facts.warnings),
        "notes": [*facts.notes, *waiting],
        "can_undo": dialogue.can_undo,
        "can_redo": dialogue.can_redo,
        "prompt": prompt_reply(None if answer is None else answer.prompt),
    }


def prompt_reply(prompt: Prompt | None) -> dict[str, Any]:
    """All that was said, without the voxels of what was drawn."""
    if prompt is None:
        return {"text": None, "points": [], "labels": [], "box": None, "scribbles": 0, "lasso": 0, "mask": False}
    return {
        "text": prompt.text,
        "points": [list(point) for point in prompt.points],
        "labels": list(prompt.labels),
        "box": None if prompt.box is None else [*prompt.box.low, *prompt.box.high],
        "scribbles": 0 if prompt.scribbles is None else len(prompt.scribbles),
        "lasso": 0 if prompt.lasso is None else len(prompt.lasso),
        "mask": prompt.mask is not None,
    }


def names_reply(workspace: SessionWorkspace) -> dict[str, Any]:
    """Names for completion; none where the network takes no text."""
    spec = workspace.opened.network.spec
    takes_text = PromptKind.TEXT in spec.accepts
    names = (spec.structures or STRUCTURES) if takes_text else ()
    return {
        "names": [{"name": name, "other_names": synonyms(name)} for name in names],
        "free_text": takes_text and not spec.structures,
    }
