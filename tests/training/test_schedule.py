import math

import pytest
import torch

from replaytree.training.recipe import Recipe
from replaytree.training.schedule import cosine, cycle_of, one_cycle


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


def test_warm_restarts_are_at_the_peak_after_10_30_70_and_150_epochs():
    # T0 = 10, Tmul = 2: cycles of 10, 20, 40, 80 and 160 epochs, so that 310 end one.
    cycles = {"first": 10, "factor": 2}
    assert [cosine(epoch, peak=0.05, lowest=0.001, **cycles) for epoch in (0, 10, 30, 70, 150, 310)] == [0.05] * 6
    assert [cycle_of(epoch, **cycles) for epoch in (0, 9.99, 10, 149, 150, 310, 630)] == [
        (0, 10), (0, 10), (10, 20), (70, 80), (150, 160), (310, 320), (630, 640),
    ]  # fmt: skip
    assert cosine(310 - 1e-9, peak=0.05, lowest=0.001, **cycles) == pytest.approx(0.001)
    assert cosine(20, peak=0.05, lowest=0.001, **cycles) == pytest.approx(0.0255)


def test_the_first_step_of_a_cycle_has_its_own_length():
    # A quarter of 20 epochs, not half of the 10 before.
    rate = cosine(10 + 5, peak=1.0, first=10, factor=2)
    assert rate == pytest.approx((1 + math.cos(math.pi / 4)) / 2)


def test_a_cosine_without_restarts_is_torchs():
    parameter = torch.nn.Parameter(torch.zeros(()))
    optimizer = torch.optim.SGD([parameter], lr=0.3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=7, eta_min=0.01)
    for epoch in range(7):
        assert cosine(epoch, peak=0.3, lowest=0.01, first=7) == pytest.approx(schedule.get_last_lr()[0])
        optimizer.step()
        schedule.step()


def test_the_schedule_of_a_recipe_counts_in_epochs():
    once = Recipe(schedule="cosine", learning_rate=0.2, lowest_rate=0.1)
    # Three epochs of four steps: half-way is step 6.
    rates = [once.rate(step, 12, epoch_steps=4) for step in range(12)]
    assert rates[0] == 0.2
    assert rates[6] == pytest.approx(0.15)
    assert rates == sorted(rates, reverse=True)
    again = Recipe(schedule="cosine", learning_rate=0.2, restart_epochs=1, restart_factor=2.0)
    assert [step for step in range(12) if again.rate(step, 12, epoch_steps=4) == 0.2] == [0, 4]
    assert Recipe().rate(3, 12, epoch_steps=4) == one_cycle(3, 12, peak=0.1)


@pytest.mark.parametrize("wrong", [{"first": 0}, {"first": 1, "factor": 0.5}, {"done": -1, "first": 1}])
def test_what_makes_no_cycles(wrong):
    with pytest.raises(ValueError, match="they must be at least 0, over 0, at least 1"):
        cosine(**{"done": 0.0, "peak": 0.1} | wrong)
