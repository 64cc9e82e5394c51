import pytest
import torch

from replaytree.training.schedule import one_cycle


def test_by_hand():
    # Eight rates, of which seven are trained with: the warm-up has 0.25 * 8 - 1 = 1 step, the way down 6.
    rates = [one_cycle(step, 7, peak=2.0) for step in range(7)]
    assert rates[:2] == [0.08, 2.0]
    assert rates[4] == pytest.approx(1.0 + 4e-6)
    assert rates[6] == pytest.approx(2.0 * (1 / 6 + 5 / 6 * 4e-6))


def test_three_steps_which_torch_cannot():
    assert [one_cycle(step, 3, peak=1.0) for step in range(3)] == [0.04, 1.0, pytest.approx(0.5 + 2e-6)]


@pytest.mark.parametrize("steps", [1, 2, 4, 5, 7, 96, 301])
def test_it_is_torchs_to_the_last_bit(steps):
    parameter = torch.nn.Parameter(torch.zeros(()))
    optimizer = torch.optim.SGD([parameter], lr=0.3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=0.3, total_steps=steps + 1, pct_start=0.25, anneal_strategy="linear", cycle_momentum=False
    )
    for step in range(steps):
        assert one_cycle(step, steps, peak=0.3) == schedule.get_last_lr()[0]
        optimizer.step()
        schedule.step()


@pytest.mark.parametrize("step", [-1, 5])
def test_a_step_outside_the_training(step):
    with pytest.raises(ValueError, match=f"step is {step}; it must be from 0 to 4"):
        one_cycle(step, 5, peak=0.1)
