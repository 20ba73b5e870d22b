"""Sessions of nnInteractive's protocol, where its client cannot look."""

import numpy as np
import pytest

from segevolution.errors import VolumeError
from segevolution.server.faults import BadRequest, Gone
from segevolution.server.nninteractive.interactive_session import InteractiveSession

from .conftest import Serve, scan

IMAGE = scan().array.T[None]


@pytest.fixture
def session(serve: Serve) -> InteractiveSession:
    return InteractiveSession(serve().app.state.service)  # type: ignore[attr-defined]


def test_an_image_is_let_go_with_the_session_and_with_the_next_image(session: InteractiveSession) -> None:
    volumes = session._service.volumes
    session.set_image(IMAGE, [3, 2, 2])
    session.set_image(IMAGE + 1, [3, 2, 2])
    assert sorted(content.users for content in volumes._contents.values()) == [0, 1]
    session.close()
    session.close()
    assert {content.users for content in volumes._contents.values()} == {0}
    with pytest.raises(Gone):
        session.set_image(IMAGE, None)
    assert {content.users for content in volumes._contents.values()} == {0}


@pytest.mark.parametrize(
    ("spacing", "understood"),
    [
        (None, (1, 1, 1)),
        ([], (1, 1, 1)),
        ([0, 0, 0], (1, 1, 1)),
        (["a", 2, 3], (3, 2, 1)),
        ([np.nan, -2, 3], (3, 2, 1)),
        ([1, 2, 3], (3, 2, 1)),
    ],
)
def test_what_is_no_spacing_is_one_millimetre(
    session: InteractiveSession, spacing: list[float] | None, understood: tuple[float, float, float]
) -> None:
    session.set_image(IMAGE, spacing)
    assert session._current.session.volume.grid.spacing == understood


@pytest.mark.parametrize("value", [np.nan, np.inf, 0.3])
def test_a_mask_of_what_is_neither_inside_nor_outside_is_refused(session: InteractiveSession, value: float) -> None:
    session.set_image(IMAGE, [3, 2, 2])
    drawn = np.zeros(IMAGE.shape[1:], np.float32)
    drawn[8, 7, 7] = value
    with pytest.raises(VolumeError, match="segmentation holds"):
        session.add_initial_mask(drawn, run=False)
    with pytest.raises(VolumeError, match="drawn mask holds"):
        session.add_drawn("scribble", drawn, None, positive=True, run=False)


def test_the_stated_orientation_is_that_of_i_j_k(serve: Serve) -> None:
    session = InteractiveSession(serve(orientation="PIR").app.state.service)  # type: ignore[attr-defined]
    session.set_image(IMAGE, [3, 2, 1])
    grid = session._current.session.volume.grid
    assert (grid.orientation, grid.shape, grid.spacing) == ("PIR", IMAGE.shape[:0:-1], (1, 2, 3))


def test_an_image_of_one_slice_and_of_booleans_is_taken(session: InteractiveSession) -> None:
    flat = IMAGE[:, 8:9] > 100
    assert session.set_image(flat, [1, 1, 1]) == list(flat.shape)
    patch = session.add_point((0, 7, 7), positive=True, run=True)
    assert patch.ran


def test_before_an_image_there_is_nothing_to_point_at(session: InteractiveSession) -> None:
    with pytest.raises(BadRequest, match="set_image"):
        session.add_point((1, 1, 1), positive=True, run=True)
