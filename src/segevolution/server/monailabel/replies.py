"""What MONAI Label's client is told of this server, and how it gets a label map."""

import json
import secrets
from typing import Any

from fastapi import Response

from ... import __version__
from ...imaging.prompts import PromptKind
from ...vocabulary import STRUCTURES
from ..answerers import AnswererChoice
from ..service import Service

CLICKS = "-clicks"  # after an adapter's id: the same network, asked by points
ALL = "all"


def structures_of(service: Service, answerer: AnswererChoice) -> tuple[str, ...]:
    """Names that a network can be asked for by text; none where it takes no text."""
    spec = service.answerers.load(answerer).spec
    return (spec.structures or STRUCTURES) if PromptKind.TEXT in spec.accepts else ()


def info_reply(service: Service) -> dict[str, Any]:
    """The list of models; a `config` at the top would make the client ask for an update."""
    models: dict[str, Any] = {}
    names: list[str] = []
    for answerer in service.answerers.all:
        structures = structures_of(service, answerer)
        names += [name for name in structures if name not in names]
        if structures:
            models[answerer.id] = {
                "type": "segmentation",
                "labels": list(structures),
                "dimension": 3,
                "description": f"{answerer.title}: structures by name",
                "config": {"structures": ALL},
            }
        models[answerer.id + CLICKS] = {
            "type": "deepgrow",
            "labels": [],
            "dimension": 3,
            "description": f"{answerer.title}: one structure by points on it and off it",
            "config": {},
        }
    return {
        "name": "SegEVOLution",
        "description": "Promptable segmentation of 3-D scans; for research, not a medical device",
        "version": __version__,
        "labels": names,
        "models": models,
        "trainers": {},
        "strategies": {},
        "scoring": {},
        "train_stats": {},
        "datastore": {"total": 0, "completed": 0, "label_tags": {}, "train": []},
    }


def labels_reply(content: bytes, extension: str, params: dict[str, Any]) -> Response:
    """A multipart answer: `params` as JSON, and `image` as a file under a name of its own."""
    boundary, name = secrets.token_hex(16), f"segevolution-{secrets.token_hex(8)}{extension}"
    heads = {
        'name="params"': ("application/json", json.dumps(params).encode()),
        f'name="image"; filename="{name}"': ("application/octet-stream", content),
    }
    parts = []
    for heading, (kind, part) in heads.items():
        head = f"--{boundary}\r\nContent-Disposition: form-data; {heading}\r\nContent-Type: {kind}\r\n\r\n"
        parts += [head.encode(), part, b"\r\n"]
    parts.append(f"--{boundary}--\r\n".encode())
    return Response(b"".join(parts), media_type=f"multipart/form-data; boundary={boundary}")
