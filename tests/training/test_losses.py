import numpy as np
import torch

from segevolution.training.losses import bce_loss, dice_loss


def test_losses_equal_the_published_ones(golden):
    published = np.load(golden / "tiny_outputs.npz")
    logits, target = torch.from_numpy(published["loss_logits"]), torch.from_numpy(published["loss_target"]).float()
    assert abs(float(dice_loss(logits, target).mean()) - float(published["dice_loss"])) < 1e-6
    assert abs(float(bce_loss(logits, target).mean()) - float(published["bce_loss"])) < 1e-6


def test_dice_loss_is_taken_per_sample():
    logits, target = torch.full((2, 4, 4, 4), 20.0), torch.ones(2, 4, 4, 4)
    target[1] = 0
    loss = dice_loss(logits, target)
    assert abs(loss[0] - (1 - 128 / 129)) < 1e-5
    assert loss[1] == 1


def test_foreground_weight_balances_but_stays_a_mean():
    logits, target = torch.zeros(1, 1000), torch.zeros(1, 1000)
    target[0, :10] = 1
    plain, weighted = bce_loss(logits, target), bce_loss(logits, target, torch.tensor([99.0]))
    torch.testing.assert_close(plain, weighted)  # every voxel costs log 2
    logits[0, :10] = -5
    assert bce_loss(logits, target, torch.tensor([99.0])) > 2.0 > bce_loss(logits, target)
