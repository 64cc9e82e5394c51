"""Training a mixed supernet: its weights on one half of the training images, its numbers on the other.

Shapes: N images, B images a batch, C channels, H rows, W columns, O options of a decision, K classes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from replaytree.config.differentiable import DifferentiableOptions
from replaytree.data import ImageData
from replaytree.networks.mixed import Mix, MixedNetwork, hard_mix, probability_rows, soft_mix
from replaytree.space.mixed import MixedGraph, Row
from replaytree.training.class_weights import class_weights, mean_loss
from replaytree.training.collapse import largest_eigenvalue
from replaytree.training.images import epoch_batches, epoch_steps, inputs_of
from replaytree.training.precision import Precision
from replaytree.training.recipe import Recipe
from replaytree.training.rewards import head_rewards
from replaytree.training.schedule import cosine
from replaytree.training.unrolled import unrolled_gradient

# Of Adam on the numbers, as published.
BETAS = (0.5, 0.999)
# Numbers start as this many times a normal draw.
SPREAD = 1e-3


@dataclass(frozen=True, slots=True)
class EpochLosses:
    """Mean losses of an epoch: of weights, and of numbers, None where these were frozen; whether all were finite."""

    weights: float
    numbers: float | None
    is_finite: bool


class BilevelTraining:
    """A mixed supernet in training on the device of the images.

    One half of the training images trains the weights (SGD), the other the numbers (Adam), a batch of each in turn,
    numbers first. `epochs` is in how many the learning rate falls, and the temperature of draws, if there is one. The
    validation images are read by scores alone.
    """

    def __init__(
        self, graph: MixedGraph, data: ImageData, *, recipe: Recipe, options: DifferentiableOptions, clip: float | None,
        seed: int,
    ) -> None:  # fmt: skip
        self._data, self._recipe, self._options, self._clip, self._seed = data, recipe, options, clip, seed
        self._device = data.train_images.device
        precision = Precision.of(self._device)
        # Differences of gradients, and second derivatives, would drown in the rounding of 16 bits.
        is_exact = options.order > 1 or options.bilevel.stop_early == "eigenvalue"
        self._precision = Precision(torch.float32) if precision.scaled or is_exact else precision
        self.mixings = graph.decisions
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network = MixedNetwork(graph)
            start = [SPREAD * torch.randn(len(mixing.options)) for mixing in self.mixings]
        self.network = network.to(self._device).to(memory_format=torch.channels_last)
        self.numbers = [number.to(self._device).requires_grad_() for number in start]
        self._weights = list(self.network.parameters())
        self._sgd = torch.optim.SGD(
            self._weights,
            lr=recipe.learning_rate,
            momentum=recipe.momentum,
            weight_decay=recipe.weight_decay,
            nesterov=options.nesterov and recipe.momentum > 0.0,
        )
        self._adam = torch.optim.Adam(
            self.numbers, lr=options.alpha_rate_unset, betas=BETAS, weight_decay=options.bilevel.alpha_decay
        )
        self.weight_images, self.number_images = halves(data, seed=seed)
        self._class_weights_K = class_weights(data, recipe)
        self.epoch = 0

    def run_epoch(self, *, epochs: int) -> EpochLosses:
        """One epoch, of `epochs` in which rates and temperatures fall.

        A step whose loss or gradient is not finite is left out.
        """
        draws = torch.Generator().manual_seed(self._drawn_seed(1))
        frozen = math.floor(self._options.frozen * epochs)
        steps = (epochs - frozen) * min(
            epoch_steps(half, self._recipe) for half in (self.weight_images, self.number_images)
        )
        for group in self._adam.param_groups:
            group["lr"] = self._options.alpha_rate(steps=steps)
        is_frozen = self.epoch < frozen
        return self._run(self._mixer(epochs, draws), rate=self._rate(epochs), is_frozen=is_frozen)

    def tune(self, fixed: Mapping[int, Row]) -> EpochLosses:
        """One epoch of weights alone, at a tenth of their first rate; decisions with `fixed` weights have these."""
        return self._run(
            lambda: self._with_fixed(soft_mix(self.mixings, self.numbers), fixed),
            rate=self._recipe.learning_rate / 10.0,
            is_frozen=True,
        )

    def _run(self, mix: Callable[[], Mix], *, rate: float, is_frozen: bool) -> EpochLosses:
        for group in self._sgd.param_groups:
            group["lr"] = rate
        generator = torch.Generator(self._device).manual_seed(self._drawn_seed(0))
        batches = zip(
            epoch_batches(self.weight_images, self._recipe, generator=generator),
            epoch_batches(self.number_images, self._recipe, generator=generator),
            strict=False,
        )
        losses: list[tuple[float, float]] = []
        self.network.train()
        for trained, valid in batches:
            of_numbers = 0.0 if is_frozen else self._step_numbers(trained, valid, mix)
            losses.append((self._step_weights(trained, mix), of_numbers))
        self.epoch += 1
        finite = [pair for pair in losses if all(map(math.isfinite, pair))]
        means = [sum(each) / len(finite) for each in zip(*finite, strict=True)] if finite else [math.inf, math.inf]
        return EpochLosses(means[0], None if is_frozen else means[1], len(finite) == len(losses))

    def _drawn_seed(self, stream: int) -> int:
        """A seed of this epoch alone, so that a resumed search draws the same."""
        return (self._seed * 1_000_003 + 2 * self.epoch + stream) % 2**63

    def _rate(self, epochs: int) -> float:
        """The learning rate of the weights in the next epoch."""
        peak, lowest = self._recipe.learning_rate, self._options.final_rate
        if self.epoch >= epochs:
            return lowest
        return cosine(self.epoch, peak=peak, lowest=lowest, first=epochs)

    def temperature(self, epochs: int) -> float:
        """That of draws in the next epoch: from the first to the last in a straight line."""
        assert self._options.temperatures is not None, "something is drawn"
        first, last = self._options.temperatures
        return first + (last - first) * min(1.0, self.epoch / max(1, epochs - 1))

    def _mixer(self, epochs: int, draws: torch.Generator) -> Callable[[], Mix]:
        """What makes the weights of the options for a step."""
        temperature = None if self._options.temperatures is None else self.temperature(epochs)

        def made() -> Mix:
            if temperature is not None:
                return hard_mix(self.mixings, self.numbers, temperature=temperature, generator=draws)
            return soft_mix(self.mixings, self.numbers)

        return made

    def _with_fixed(self, mix: Mix, fixed: Mapping[int, Row]) -> Mix:
        """The weights, with those of some decisions replaced; options of weight 0 there are not computed."""
        rows = {of: torch.tensor(row, device=self._device) for of, row in fixed.items()}
        everything = [frozenset(range(len(mixing.options))) for mixing in self.mixings]
        taken = [
            frozenset(option for option, weight in enumerate(fixed[of]) if weight) if of in fixed else every
            for of, every in enumerate(everything)
        ]
        return Mix([rows.get(of, weights) for of, weights in enumerate(mix.weights)], taken)

    def _loss(self, batch: tuple[Tensor, Tensor], mix: Mix) -> Tensor:
        inputs_BCHW, labels_B = batch
        return mean_loss(
            self._logits(inputs_BCHW, mix),
            labels_B,
            label_smoothing=self._recipe.label_smoothing,
            weights_K=self._class_weights_K,
        )

    def _logits(self, inputs_BCHW: Tensor, mix: Mix) -> Tensor:
        with self._precision.cast(self._device):
            logits_BK: Tensor = self.network(inputs_BCHW, mix)
        return logits_BK.float()

    def _step_weights(self, batch: tuple[Tensor, Tensor], mix: Callable[[], Mix]) -> float:
        """A step of the weights; the loss, not finite where the step was left out."""
        self._sgd.zero_grad()
        with torch.no_grad():
            weights = mix()
        loss = self._loss(batch, weights)
        loss.backward()  # type: ignore[no-untyped-call]
        length = torch.nn.utils.get_total_norm([w.grad for w in self._weights if w.grad is not None])
        if not (loss.isfinite() and length.isfinite()):
            return math.inf
        if self._clip is not None:
            torch.nn.utils.clip_grads_with_norm_(self._weights, self._clip, length)
        self._sgd.step()
        return float(loss.detach())

    def _step_numbers(
        self, trained: tuple[Tensor, Tensor], valid: tuple[Tensor, Tensor], mix: Callable[[], Mix]
    ) -> float:
        """A step of the numbers; the loss, not finite where the step was left out."""
        if self._options.order == 2:
            loss = None
            gradients = unrolled_gradient(
                lambda: self._loss(trained, mix()),
                lambda: self._loss(valid, mix()),
                self.numbers,
                self._weights,
                step=self._direction,
                rate=self._sgd.param_groups[0]["lr"],
            )
            with torch.no_grad():
                loss = self._loss(valid, mix())
        else:
            loss = self._loss(valid, mix())
            found = torch.autograd.grad(loss, self.numbers, allow_unused=True)
            gradients = [
                torch.zeros_like(number) if gradient is None else gradient
                for number, gradient in zip(self.numbers, found, strict=True)
            ]
        if not (loss.isfinite() and torch.nn.utils.get_total_norm(gradients).isfinite()):
            return math.inf
        for number, gradient in zip(self.numbers, gradients, strict=True):
            number.grad = gradient
        self._adam.step()
        return float(loss.detach())

    def _direction(self, place: int, gradient: Tensor) -> Tensor:
        """Where the next step of SGD would move a weight."""
        weight, recipe = self._weights[place], self._recipe
        direction = gradient + recipe.weight_decay * weight
        momentum = self._sgd.state[weight].get("momentum_buffer")
        return direction if momentum is None else direction + recipe.momentum * momentum

    def rows(self) -> list[Row]:
        """What the options weigh now."""
        return probability_rows(self.mixings, self.numbers)

    def eigenvalue(self) -> float:
        """The largest eigenvalue of the Hessian, on one batch of the images that train the numbers."""
        generator = torch.Generator(self._device).manual_seed(self._drawn_seed(0))
        plain = replace(self._recipe, crop_padding=0, flip=False, cutout=0)
        images = replace(self.number_images, transforms=None)
        batch = next(epoch_batches(images, plain, generator=generator))
        self.network.train()
        return largest_eigenvalue(
            lambda: self._loss(batch, soft_mix(self.mixings, self.numbers)), self.numbers, seed=self._seed % 2**62
        )

    @torch.no_grad()
    def accuracy(self, rows: Sequence[Row], data: ImageData, index_N: Tensor, *, batch_size: int) -> float:
        """The accuracy with fixed weights on some of the validation images of `data`.

        Batch norm takes the statistics of batches of about `batch_size` of these images, which are of equal size.
        """
        mix = Mix.of_rows(rows, self._device)
        self.network.eval()
        answers = []
        for part_B in torch.tensor_split(index_N, math.ceil(len(index_N) / batch_size)):
            logits_BK = self._logits(inputs_of(data.val_images[part_B], data), mix)
            answers.append(logits_BK.argmax(dim=1))
        [found] = head_rewards(
            torch.cat(answers)[None], data.val_labels[index_N], num_classes=data.num_classes,
            reward=self._recipe.reward,
        )  # fmt: skip
        return found

    def state_dict(self) -> dict[str, Any]:
        """All that later epochs depend on: tensors and numbers."""
        return {
            "epoch": self.epoch,
            "network": self.network.state_dict(),
            "numbers": [number.detach() for number in self.numbers],
            "sgd": self._sgd.state_dict(),
            "adam": self._adam.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """The inverse of state_dict."""
        self.network.load_state_dict(state["network"])
        with torch.no_grad():
            for number, stored in zip(self.numbers, state["numbers"], strict=True):
                number.copy_(stored)
        self._sgd.load_state_dict(state["sgd"])
        self._adam.load_state_dict(state["adam"])
        self.epoch = int(state["epoch"])


def halves(data: ImageData, *, seed: int) -> tuple[ImageData, ImageData]:
    """The training images in two halves, by chance; the first has one more where their number is odd."""
    order_N = torch.randperm(len(data.train_labels), generator=torch.Generator().manual_seed(seed))
    order_N = order_N.to(data.train_labels.device)
    middle = (len(order_N) + 1) // 2
    first, second = (
        replace(data, train_images=data.train_images[part_N], train_labels=data.train_labels[part_N])
        for part_N in (order_N[:middle], order_N[middle:])
    )
    return first, second
