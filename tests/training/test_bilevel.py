"""Training a mixed supernet on two halves of the training images."""

import math
from dataclasses import replace

import pytest
import torch

from replaytree.config import SearchConfig
from replaytree.data import load_data
from replaytree.networks.mixed import soft_mix
from replaytree.space.darts import Darts
from replaytree.space.mixed_darts import DartsMixture
from replaytree.training import bilevel
from replaytree.training.bilevel import BilevelTraining, halves
from replaytree.training.class_weights import class_weights
from replaytree.training.images import epoch_batches
from replaytree.training.recipe import Recipe


@pytest.fixture(scope="module")
def digits():
    return load_data("digits", train_limit=61)


def training(digits, strategy="darts", *, learning_rate=0.025, **options):
    config = SearchConfig(strategy=strategy, **options)
    own = config.strategy_options
    plan = Darts(input_shape=(1, 8, 8), num_classes=10, max_layers=2, channels=4, cells=3)
    return BilevelTraining(
        DartsMixture(plan, share=own.channel_share).graph,
        digits,
        recipe=Recipe(
            batch_size=16,
            learning_rate=learning_rate,
            weight_decay=3e-4,
            label_smoothing=0.0,
            class_weights=config.recipe.class_weights,
        ),
        options=own,
        clip=5.0,
        seed=3,
    )


def test_the_loss_of_a_class_is_weighted(digits):
    plain, balanced = training(digits), training(digits, class_weights="balanced")
    weights = balanced._class_weights_K
    assert torch.equal(weights, class_weights(digits, Recipe(class_weights="balanced")))
    inputs, labels = next(epoch_batches(digits, Recipe(batch_size=16), generator=torch.Generator().manual_seed(0)))
    losses = []
    for each in (plain, balanced):
        mix = soft_mix(each.mixings, each.numbers)
        losses.append(each._loss((inputs, torch.full_like(labels, 3)), mix).item())
    assert losses[1] == pytest.approx(float(weights[3]) * losses[0])


def keys(images):
    return {tuple(image.flatten().tolist()) for image in images}


def test_weights_and_numbers_see_different_halves(digits, monkeypatch):
    first, second = halves(digits, seed=3)
    assert (len(first.train_labels), len(second.train_labels)) == (31, 30)
    assert keys(first.train_images).isdisjoint(keys(second.train_images))
    assert keys(first.train_images) | keys(second.train_images) == keys(digits.train_images)
    own, seen = training(digits), {"weights": set(), "numbers": set()}
    for name in seen:
        step = getattr(own, f"_step_{name}")

        def told(*batches, name=name, step=step):
            # The batch that the step itself learns from stands last, before what mixes.
            seen[name] |= keys(batches[-2][0])
            return step(*batches)

        monkeypatch.setattr(own, f"_step_{name}", told)
    own.run_epoch(epochs=2)
    assert seen["weights"].isdisjoint(seen["numbers"])
    assert (len(seen["weights"]), len(seen["numbers"])) == (31, 30)


def test_validation_images_are_read_by_scores_alone(digits):
    other = replace(digits, val_images=torch.zeros_like(digits.val_images))
    found = []
    for data in (digits, other):
        own = training(data)
        own.run_epoch(epochs=2)
        found.append([number.tolist() for number in own.numbers])
    assert found[0] == found[1]


def test_each_epoch_moves_numbers_and_weights(digits):
    own = training(digits)
    numbers, weights = ([each.detach().clone() for each in some] for some in (own.numbers, own._weights))
    losses = own.run_epoch(epochs=2)
    assert all(not torch.equal(a, b) for a, b in zip(numbers, own.numbers, strict=True))
    assert any(not torch.equal(a, b) for a, b in zip(weights, own._weights, strict=True))
    assert losses.is_finite
    assert math.isfinite(losses.weights)
    # Each of Adam's first two steps is about as long as its rate.
    moved = max(float((a - b.detach()).abs().max()) for a, b in zip(numbers, own.numbers, strict=True))
    assert 0.03 < moved < 3 * 0.03


@pytest.mark.parametrize(
    ("strategy", "epochs", "rate"), [("darts", 1000, 3e-4 * 9.775), ("pc-darts", 1000, 6e-4 * 2.45)]
)
def test_the_rate_of_the_numbers_goes_by_their_steps(digits, strategy, epochs, rate):
    """Halves of 31 and 30 images are two batches of 16, in 1,000 epochs, or the 700 of pc-darts that are not frozen.

    The published searches have 19,550 steps, 9.775 times as many, and 3,430, 2.45 times as many.
    """
    own = training(digits, strategy)
    own.run_epoch(epochs=1000)
    assert own._adam.param_groups[0]["lr"] == pytest.approx(rate)


def test_numbers_are_frozen_in_the_first_epochs(digits):
    own = training(digits, "pc-darts")
    before = [number.detach().clone() for number in own.numbers]
    # A share of 0.3 of 4 epochs: the first.
    assert own.run_epoch(epochs=4).numbers is None
    assert all(torch.equal(a, b) for a, b in zip(before, own.numbers, strict=True))
    assert own.run_epoch(epochs=4).numbers is not None
    assert all(not torch.equal(a, b) for a, b in zip(before, own.numbers, strict=True))


@pytest.mark.parametrize(
    ("strategy", "peak", "last"), [("darts", 0.025, 0.001), ("pc-darts", 0.1, 0.0), ("gdas", 0.025, 0.001)]
)
def test_the_rate_falls_as_a_cosine(digits, strategy, peak, last):
    own = training(digits, strategy, learning_rate=peak)
    rates = []
    for own.epoch in (0, 5, 10, 11):
        rates.append(own._rate(10))
    assert rates == pytest.approx([peak, (peak + last) / 2, last, last])


def test_temperatures_fall_in_a_straight_line(digits):
    own = training(digits, "gdas")
    found = []
    for own.epoch in (0, 1, 2, 3):
        found.append(own.temperature(3))
    assert found == pytest.approx([10.0, 5.05, 0.1, 0.1])


def test_second_order_looks_one_step_ahead(digits):
    found = []
    for order in (1, 2):
        own = training(digits, alpha_order=order)
        own.run_epoch(epochs=1)
        found.append([number.tolist() for number in own.numbers])
    assert found[0] != found[1]


def test_the_step_of_the_weights_is_that_of_sgd(digits):
    own = training(digits)
    own.run_epoch(epochs=2)
    before = [weight.detach().clone() for weight in own._weights]
    torch.manual_seed(0)
    gradients = [torch.randn_like(weight) for weight in own._weights]
    directions = [own._direction(place, gradient) for place, gradient in enumerate(gradients)]
    for weight, gradient in zip(own._weights, gradients, strict=True):
        weight.grad = gradient
    rate = own._sgd.param_groups[0]["lr"]
    own._sgd.step()
    for start, direction, weight in zip(before, directions, own._weights, strict=True):
        torch.testing.assert_close(weight, start - rate * direction)


def test_a_step_that_is_not_finite_is_left_out(digits, monkeypatch):
    own = training(digits)
    before = [each.detach().clone() for each in [*own.numbers, *own._weights]]
    loss = own._loss
    monkeypatch.setattr(own, "_loss", lambda *given: loss(*given) * math.nan)
    losses = own.run_epoch(epochs=2)
    assert not losses.is_finite
    assert all(torch.equal(a, b) for a, b in zip(before, [*own.numbers, *own._weights], strict=True))


def test_tuning_trains_weights_with_fixed_decisions(digits):
    own = training(digits)
    before = [number.detach().clone() for number in own.numbers]
    only = own.mixings[0].options.index("sep3")
    idle = own.network.options["cell1_node2_0"][5]
    row = tuple(float(place == only) for place in range(8))
    kept = [weight.detach().clone() for weight in idle.parameters()]
    own.tune({0: row})
    assert all(torch.equal(a, b) for a, b in zip(before, own.numbers, strict=True))
    assert all(torch.equal(a, b) for a, b in zip(kept, idle.parameters(), strict=True)), "an option of no weight"
    assert own._sgd.param_groups[0]["lr"] == pytest.approx(0.0025)
    assert bilevel.BETAS == (0.5, 0.999)
    assert own._adam.param_groups[0]["betas"] == (0.5, 0.999)
