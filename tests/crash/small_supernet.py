"""A supernet of the smallest kind: a real network with shared weights, whose scores depend on all it was trained on."""

from __future__ import annotations

import torch
from torch.nn.functional import cross_entropy

from replaytree.records import PathEvaluation

WIDTH, CLASSES, IMAGES = 6, 3, 60


class SmallSupernet:
    """Layers are matrices by depth and action, with tanh between, and a head by depth; trained with momentum."""

    def __init__(self, *, actions=3, max_layers=4):
        generator = torch.Generator().manual_seed(1)
        inputs = torch.randn(IMAGES, WIDTH, generator=generator)
        labels = (inputs @ torch.randn(WIDTH, CLASSES, generator=generator)).argmax(dim=1)
        self.train, self.val = (inputs[:40], labels[:40]), (inputs[40:], labels[40:])
        shapes = [*[(WIDTH, WIDTH)] * (actions * max_layers), *[(WIDTH, CLASSES)] * max_layers]
        self.weights = [torch.randn(shape, generator=generator) / 3 for shape in shapes]
        self.momenta = [torch.zeros(shape) for shape in shapes]
        self.actions, self.max_layers, self.turns = actions, max_layers, 0

    def evaluate(self, paths, *, budget, seed):
        self.turns += 1
        order = torch.Generator().manual_seed(seed)
        for path in paths:
            chosen = torch.randint(len(self.train[0]), (10,), generator=order)
            self._step(path, self.train[0][chosen], self.train[1][chosen])
        return self.rescore(paths)

    @torch.no_grad()
    def rescore(self, paths):
        return [
            PathEvaluation(
                [
                    float((logits.argmax(dim=1) == self.val[1]).float().mean())
                    for logits in self._logits(path, self.val[0])
                ],
                epochs=self.turns,
            )
            for path in paths
        ]

    def state_dict(self):
        return {"weights": self.weights, "momenta": self.momenta, "turns": self.turns}

    def load_state_dict(self, state):
        if [weight.shape for weight in state["weights"]] != [weight.shape for weight in self.weights]:
            raise ValueError("it has other layers")
        self.weights, self.momenta = [w.clone() for w in state["weights"]], [m.clone() for m in state["momenta"]]
        self.turns = state["turns"]

    def _logits(self, path, inputs):
        for depth, action in enumerate(path):
            inputs = torch.tanh(inputs @ self.weights[depth * self.actions + action])
            yield inputs @ self.weights[self.actions * self.max_layers + depth]

    def _step(self, path, inputs, labels):
        for weight in self.weights:
            weight.requires_grad_(True)
        loss = sum(cross_entropy(logits, labels) for logits in self._logits(path, inputs))
        gradients = torch.autograd.grad(loss, self.weights, allow_unused=True)
        for weight, momentum, gradient in zip(self.weights, self.momenta, gradients, strict=True):
            weight.requires_grad_(False)
            if gradient is not None:
                momentum.mul_(0.9).add_(gradient)
                weight.sub_(0.1 * momentum)
