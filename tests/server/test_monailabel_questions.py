"""MONAI Label's questions as the server understands them, without its client."""

import numpy as np
import pytest

from segevolution.server.monailabel.inference import InferParams, Labelled, inferred

from .conftest import Serve, scan


@pytest.fixture
def ask(serve: Serve):
    service = serve().app.state.service  # type: ignore[attr-defined]
    handle = service.volumes.add(scan(), "scan")
    service.volumes.take(handle)

    def answer(model: str, **said: object) -> Labelled:
        return inferred(service, handle, model, InferParams.model_validate(said))

    return answer


def test_a_structure_named_in_several_ways_is_one_label(ask) -> None:
    assert ask("base", label=["liver", "Liver", "spleen", "LIVER"]).label_names == {"liver": 1, "spleen": 2}
    assert ask("base", label=["Liver", "liver"]).label_names == {"Liver": 1}


@pytest.mark.parametrize("place", [8.5, 9.4])
def test_a_click_is_in_the_voxel_that_the_other_doors_take(ask, place: float) -> None:
    clicked = ask("base-clicks", foreground=[[place, 8, 8]], result_extension=".nrrd")
    assert clicked.content == ask("base-clicks", foreground=[[9, 8, 8]], result_extension=".nrrd").content
    assert np.frombuffer(clicked.content, np.uint8).any()
