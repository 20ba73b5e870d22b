"""The preview shows the right slice, the right way round."""

import io

import numpy as np
from matplotlib.image import imread

from segevolution.imaging.grid import Grid
from segevolution.imaging.volume import Volume
from segevolution.inference.preview import as_seen, display_range, draw_preview, slice_to_show
from segevolution.vocabulary import Modality


def test_the_patients_right_is_on_the_left_and_anterior_on_top() -> None:
    x, y, z = np.meshgrid(*(np.arange(side) for side in (5, 4, 3)), indexing="ij")  # RAS: rising to R, A, S
    assert (as_seen(x, 2, 1)[0] == [4, 3, 2, 1, 0]).all()
    assert (as_seen(y, 2, 1)[:, 0] == [3, 2, 1, 0]).all()
    assert (as_seen(x, 1, 1)[0] == [4, 3, 2, 1, 0]).all()
    assert (as_seen(z, 1, 1)[:, 0] == [2, 1, 0]).all()
    assert (as_seen(y, 0, 1)[0] == [3, 2, 1, 0]).all()
    assert (as_seen(z, 0, 1)[:, 0] == [2, 1, 0]).all()


def test_the_slice_is_the_middle_one_of_those_that_show_most_structures() -> None:
    first, second, nothing = (np.zeros((3, 3, 30), bool) for _ in range(3))
    first[:, :, 4:11] = True
    assert slice_to_show([first], 2, 30) == 7
    second[1, 1, 9:25] = True
    assert slice_to_show([first, second], 2, 30) in (9, 10)
    assert slice_to_show([nothing], 2, 30) == 15


def test_it_draws_an_outline_where_the_mask_is_and_none_without() -> None:
    array = np.full((30, 20, 10), 50.0)
    array[0, 0, 0] = 0
    array[10:20, 5:15, 3:7] = 200
    volume = Volume(array, Grid(array.shape, np.diag([1.0, 2.0, 5.0, 1.0])))  # type: ignore[arg-type]
    with_mask = imread(io.BytesIO(draw_preview(volume, [("liver", array > 100)], "a title")))
    without = imread(io.BytesIO(draw_preview(volume, [("liver", np.zeros(array.shape, bool))])))

    def blue(picture: np.ndarray) -> int:
        return int(((picture[..., 2] - picture[..., 0]) > 0.4).sum())

    assert blue(with_mask) > blue(without) + 100


def test_a_ct_is_shown_in_hounsfield_units_and_others_by_their_own_range() -> None:
    array = np.linspace(-1000, 1500, 27).reshape(3, 3, 3)
    grid = Grid((3, 3, 3), np.eye(4))
    assert display_range(Volume(array, grid, Modality.CT)) == (-160, 240)
    assert display_range(Volume(array, grid)) == (-160, 240)
    low, high = display_range(Volume(array + 1000, grid, Modality.MRI))
    assert 0 <= low < 100
    assert 2300 < high <= 2500
