import numpy as np
import pytest

from segevolution.data.windows import FramedCase
from segevolution.errors import StoreError
from segevolution.training.automatic.augmentation import IntensityAugmentation
from segevolution.training.automatic.patches import PatchSampler, cut
from segevolution.vocabulary import Modality

WINDOW = (8, 16, 16)


def case(number=0, absent=()):
    rng = np.random.default_rng(number)
    labels = np.zeros((12, 40, 40), np.uint8)
    labels[3:9, 5:15, 20:30] = 3
    labels[4:6, 30:34, 6:10] = 7
    image = rng.normal(0, 0.1, labels.shape) + labels
    names = {"liver": (3,), "spleen": (7,)}
    return FramedCase(f"case{number}", Modality.MRI, image.astype(np.float16), labels, names, absent, pad=-1.0)


def sampler(cases=None, structures=("liver", "spleen"), seed=0):
    return PatchSampler(cases or [case(0), case(1)], structures, WINDOW, 1 / 3, seed)


def test_the_same_step_and_row_give_the_same_patch_and_others_another():
    first, again = sampler().batch(5, 2), sampler().batch(5, 2)
    for one, same in zip(first, again, strict=True):
        assert np.array_equal(one.image, same.image)
        assert np.array_equal(one.classes, same.classes)
    assert not np.array_equal(first[0].image, sampler().batch(6, 2)[0].image)
    assert not np.array_equal(first[0].image, sampler(seed=1).batch(5, 2)[0].image)


def test_the_last_patch_of_two_shows_a_structure():
    shown = [sampler().batch(step, 2)[1].classes.any() for step in range(40)]
    anywhere = [sampler().batch(step, 2)[0].classes.any() for step in range(40)]
    assert np.mean(shown) > 0.9
    assert np.mean(anywhere) < np.mean(shown)


def test_classes_stand_in_the_order_of_the_structures_and_lie_where_the_signal_does():
    for step in range(20):
        patch = sampler().draw(step, 0, centred=True)
        assert patch.image.shape == patch.classes.shape == WINDOW
        inside = patch.classes == 2
        if inside.any():
            assert patch.image[inside].mean() > 4


def test_without_a_turn_a_patch_is_the_block_of_the_case():
    whole = case()
    patch = cut(whole, (4, 6, 6), np.eye(3), np.array([5.5, 9.5, 24.5]), ("liver", "spleen"))
    assert np.array_equal(patch.image, whole.image[4:8, 7:13, 22:28].astype(np.float32))
    assert (patch.classes == 1).all()


def test_beyond_the_case_lies_its_padding():
    patch = cut(case(), (4, 6, 6), np.eye(3), np.array([-10.0, 9.5, 24.5]), ("liver",))
    assert (patch.image == -1).all()
    assert not patch.classes.any()


def test_nothing_is_mirrored_where_a_name_has_a_side():
    assert sampler().mirrored
    sided = FramedCase("a", None, case().image, case().labels, {"left kidney": (3,)})
    assert not sampler([sided], ("left kidney",)).mirrored


def test_data_that_label_other_structures_are_refused():
    with pytest.raises(StoreError, match="case1 comes from a dataset that does not label spleen"):
        sampler([case(0), FramedCase("case1", None, case().image, case().labels, {"liver": (3,)})])
    alike = FramedCase("case1", None, case().image, case().labels, {"liver": (3,)}, absent=("spleen",))
    assert sampler([case(0), alike]).draw(0, 0, centred=True).classes.shape == WINDOW


def test_intensities_change_by_the_seed_alone_and_keep_their_shape():
    image = case().image[:8, :16, :16].astype(np.float32)
    augment, another = IntensityAugmentation(), IntensityAugmentation()
    results = [augment(image, seed) for seed in range(30)]
    assert all(bool((another(image, seed) == result).all()) for seed, result in enumerate(results))
    assert {tuple(result.shape) for result in results} == {(1, 8, 16, 16)}
    same = sum(bool(np.array_equal(result[0].numpy(), image)) for result in results)
    assert 0 < same < 25
