from dataclasses import replace

import numpy as np
import pytest

from segevolution.data.augment import AugmentSettings, augment
from segevolution.data.windows import PUBLISHED_VIEWS, FramedCase, ViewSettings, draw_view
from segevolution.imaging.case import Case
from segevolution.imaging.framing import frame, resize_nearest
from segevolution.imaging.grid import Grid
from segevolution.imaging.volume import Volume
from segevolution.vocabulary import Modality

WINDOW = (8, 16, 16)


@pytest.fixture
def framed():
    """Two blobs, one on each side along the last axis; the image tells right from left by its brightness."""
    labels = np.zeros((20, 40, 48), np.uint8)
    labels[6:14, 12:28, 4:16] = 1
    labels[6:14, 12:28, 32:44] = 2
    image = (0.2 + 0.3 * labels).astype(np.float16)
    return FramedCase("case", Modality.CT, image, labels, {"left kidney": (1,), "right kidney": (2,)})


def test_a_still_whole_view_is_what_zoom_out_sees(framed):
    still = ViewSettings(whole=1, native=0, still=1)
    view = draw_view(framed, WINDOW, np.random.default_rng(0), still)
    inside = np.s_[1:-1, 1:-1, 1:-1]
    assert (view.labels[inside] == resize_nearest(framed.labels, WINDOW)[inside]).mean() > 0.95


def test_a_still_native_view_is_a_piece_of_the_volume(framed):
    view = draw_view(framed, WINDOW, np.random.default_rng(3), ViewSettings(whole=0, native=1, still=1))
    pieces = np.lib.stride_tricks.sliding_window_view(framed.labels, WINDOW).reshape(-1, *WINDOW)
    assert any(np.array_equal(piece, view.labels) for piece in pieces)


def test_views_are_never_mirrored(framed):
    for seed in range(40):
        view = draw_view(framed, WINDOW, np.random.default_rng(seed), ViewSettings(whole=1, native=0))
        columns = [np.flatnonzero((view.labels == value).any(axis=(0, 1))).mean() for value in (1, 2)]
        assert columns[0] < columns[1]


def test_image_and_labels_move_together(framed):
    for seed in range(20):
        view = draw_view(framed, WINDOW, np.random.default_rng(seed))
        inside = view.image > 0
        np.testing.assert_allclose(view.image[inside], (0.2 + 0.3 * view.labels)[inside], atol=1e-3)
        assert not view.labels[~inside].any()


def test_beyond_the_image_lies_its_padding(framed):
    case = replace(framed, pad=-3.0)
    seen = 0
    for seed in range(20):
        view = draw_view(case, WINDOW, np.random.default_rng(seed), ViewSettings(whole=1, native=0, still=0))
        beyond = view.image == -3
        seen += beyond.sum()
        assert not view.labels[beyond].any()
        np.testing.assert_allclose(view.image[~beyond], (0.2 + 0.3 * view.labels)[~beyond], atol=1e-3)
    assert seen > 100


def test_native_views_show_a_structure(framed):
    settings = ViewSettings(whole=0, native=1)
    shown = [draw_view(framed, WINDOW, np.random.default_rng(seed), settings).labels.any() for seed in range(30)]
    assert np.mean(shown) > 0.8


def test_the_share_of_native_views_is_as_asked(framed):
    """The image is a ramp, so a voxel's step can be read off."""
    ramp = np.broadcast_to(np.arange(48, dtype=np.float16), framed.labels.shape).copy()
    case = replace(framed, image=ramp)
    settings = ViewSettings(whole=0.2, native=0.5, still=1)
    steps = []
    for seed in range(300):
        line = draw_view(case, WINDOW, np.random.default_rng(seed), settings).image[4, 8]
        steps.append((line[-1] - line[0]) / 15)
    native, whole = np.mean(np.isclose(steps, 1)), np.mean(np.isclose(steps, 3, atol=0.1))
    assert 0.42 < native < 0.6
    assert 0.14 < whole < 0.3


def test_a_rotated_view_is_turned_not_sheared(framed):
    """Distances between three marks in a plane, and the side on which the third lies, stay what they are."""
    labels = np.zeros((20, 64, 64), np.uint8)
    marks = {1: (32, 26), 2: (32, 42), 3: (40, 32)}
    for value, (h, w) in marks.items():
        labels[:, h - 1 : h + 2, w - 1 : w + 2] = value
    case = replace(framed, image=labels.astype(np.float16), labels=labels, structures={"liver": (1, 2, 3)})
    settings = ViewSettings(whole=0, native=1, still=0, scale=0, rotation=40)
    angles = []
    for seed in range(60):
        view = draw_view(case, (8, 48, 48), np.random.default_rng(seed), settings).labels[4]
        places = [np.argwhere(view == value) for value in marks]
        if any(len(place) < 7 for place in places):
            continue
        one, two, three = (place.mean(axis=0) for place in places)
        assert np.linalg.norm(two - one) == pytest.approx(16, abs=1)
        assert np.linalg.norm(three - one) == pytest.approx(10, abs=1)
        side = (two - one)[0] * (three - one)[1] - (two - one)[1] * (three - one)[0]
        assert side == pytest.approx(-16 * 8, rel=0.15)
        angles.append(np.rad2deg(np.arctan2(*(two - one))))
    assert len(angles) > 20
    assert min(angles) < -20
    assert max(angles) > 20


def test_a_focused_view_shows_one_structure_large(framed):
    settings = ViewSettings(focus=1, margin=(1.25, 1.6))
    for seed in range(20):
        view = draw_view(framed, WINDOW, np.random.default_rng(seed), settings)
        shown = [(view.labels == value).mean() for value in (1, 2)]
        assert max(shown) > 0.12  # a whole view shows each as 0.04 of itself


def test_without_focus_the_draws_stay_what_they_were(framed):
    one, other = (draw_view(framed, WINDOW, np.random.default_rng(5), ViewSettings(margin=m)) for m in ((1, 2), (2, 3)))
    np.testing.assert_array_equal(one.image, other.image)


@pytest.mark.parametrize("name", sorted(PUBLISHED_VIEWS))
def test_published_views_mirror_what_has_no_side_and_nothing_that_has_one(framed, name):
    sideless = replace(framed, structures={"liver": (1,), "spleen": (2,)})
    frequent = replace(PUBLISHED_VIEWS[name], whole=1, native=0, flip=0.5)

    def mirrored(case):
        views = [draw_view(case, WINDOW, np.random.default_rng(seed), frequent) for seed in range(40)]
        columns = [[np.flatnonzero((view.labels == v).any(axis=(0, 1))).mean() for v in (1, 2)] for view in views]
        return sum(one > other for one, other in columns)

    assert mirrored(framed) == 0
    assert 5 < mirrored(sideless) < 35


def test_a_third_of_published_windows_lie_anywhere(framed):
    far = replace(
        framed, image=np.full((20, 40, 200), 0.5, np.float16), labels=np.pad(framed.labels, ((0, 0), (0, 0), (0, 152)))
    )
    settings = replace(PUBLISHED_VIEWS["hub"], whole=0, native=1)
    empty = [not draw_view(far, WINDOW, np.random.default_rng(seed), settings).labels.any() for seed in range(200)]
    assert 0.1 < np.mean(empty) < 0.4


def test_extents_are_those_of_the_structures(framed):
    low, high = framed.extent("right kidney")
    assert (low.tolist(), high.tolist()) == ([6, 12, 32], [14, 28, 44])


def test_augmentation_keeps_range_and_padding_and_is_seeded():
    rng = np.random.default_rng(0)
    image = rng.uniform(0.1, 1, (6, 8, 8)).astype(np.float32)
    image[0] = 0
    always = AugmentSettings(chance=1)
    changed = augment(image, np.random.default_rng(5), always)
    assert changed.min() >= 0
    assert changed.max() <= 1
    assert not changed[0].any()
    assert not np.allclose(changed, image)
    assert np.array_equal(changed, augment(image, np.random.default_rng(5), always))
    assert np.array_equal(augment(image, np.random.default_rng(5), AugmentSettings(chance=0)), image)


def test_framing_keeps_what_the_model_knows_and_notes_what_this_patient_lacks():
    labels = np.zeros((6, 6, 6), np.uint8)
    labels[1:3], labels[4] = 1, 2
    signal = np.random.default_rng(0).normal(size=labels.shape)
    case = Case(
        "x",
        "p",
        "d",
        Volume(signal, Grid(labels.shape, np.eye(4))),
        labels,
        {"liver": (1,), "odd": (2,), "aorta": (9,)},
    )
    framed = FramedCase.make(
        case, frame(case.volume, "z_score"), frozenset({"liver", "spleen"}), frozenset({"liver", "spleen"})
    )
    assert set(framed.structures) == {"liver"}
    assert framed.absent == ("spleen",)
