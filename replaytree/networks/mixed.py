"""The mixed supernet: every edge is the weighted sum of what all its options make of a map.

Shapes: B images, C channels, H rows, W columns of a feature map, O options of a decision, K classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from replaytree.space.building import build_layer
from replaytree.space.layers import Layer, legal_output
from replaytree.space.mixed import Factor, MixedEdge, MixedGraph, MixedOption, Mixing, Row, Weight, read_shape


@dataclass(frozen=True, slots=True)
class Mix:
    """What the options weigh: a vector (O) a decision.

    `taken` are the options that are computed, of each decision; None: all. The others add nothing to the map, or with
    `passes_back` their weight alone, whose value is 0, so that a gradient reaches it (GDAS).
    """

    weights: Sequence[Tensor]
    taken: Sequence[frozenset[int]] | None = None
    passes_back: bool = False

    @classmethod
    def of_rows(cls, rows: Sequence[Row], device: torch.device) -> Mix:
        """Fixed weights; options of weight 0 are not computed."""
        weights = [torch.tensor(row, device=device) for row in rows]
        return cls(weights, [frozenset(place for place, each in enumerate(row) if each) for row in rows])

    def takes(self, weight: Weight) -> bool:
        """Whether an option of this weight is computed."""
        taken = self.taken
        return taken is None or any(all(option in taken[of] for of, option in product) for product in weight)

    def weight(self, weight: Weight) -> Tensor:
        """The weight, a sum of products, as a tensor of no dimension."""
        total = None
        for product in weight:
            value = self.factor(product[0])
            for factor in product[1:]:
                value = value * self.factor(factor)
            total = value if total is None else total + value
        assert total is not None, "an option has a weight"
        return total

    def factor(self, factor: Factor) -> Tensor:
        """The weight of one option."""
        decision, option = factor
        return self.weights[decision][option]


def soft_mix(mixings: Sequence[Mixing], numbers: Sequence[Tensor]) -> Mix:
    """The softmax of the numbers of each choice, and the sigmoid of each number of a set of inputs (Liu et al., 2019).

    ValueError unless there is one vector a decision, with one number an option.
    """
    return Mix(_probabilities(mixings, numbers))


def hard_mix(
    mixings: Sequence[Mixing], numbers: Sequence[Tensor], *, temperature: float, generator: torch.Generator
) -> Mix:
    """One option of each decision, drawn by the Gumbel-max trick, with the gradient of the softmax (GDAS).

    With Gumbel noise o and p = softmax((log softmax(a) + o) / temperature), the weights are h = one_hot(argmax p) in
    the forward pass, and their gradient is that of p: h - detach(p) + p (Dong and Yang, 2019). Of a set of inputs each
    is drawn by itself, from a choice between taking it or not.
    """
    weights, taken = [], []
    for mixing, vector in zip(mixings, numbers, strict=True):
        logits = vector
        if mixing.kind == "inputs":
            logits = torch.stack([vector, torch.zeros_like(vector)], dim=-1)
        # Drawn on the CPU, so that every device draws the same.
        uniform = torch.rand(logits.shape, generator=generator).clamp_(1e-10, 1.0 - 1e-7)
        noise = (-(-uniform.log()).log()).to(logits)
        noisy = ((functional.log_softmax(logits, dim=-1) + noise) / temperature).softmax(dim=-1)
        hard = functional.one_hot(noisy.argmax(dim=-1), logits.shape[-1]).to(noisy)
        # In this order the sum is exactly h.
        weight = hard + (noisy - noisy.detach())
        if mixing.kind == "inputs":
            weight, hard = weight[..., 0], hard[..., 0]
        weights.append(weight)
        taken.append(frozenset(hard.nonzero().flatten().tolist()))
    return Mix(weights, taken, passes_back=True)


def probability_rows(mixings: Sequence[Mixing], numbers: Sequence[Tensor]) -> list[Row]:
    """The weights of soft_mix, as plain numbers."""
    with torch.no_grad():
        return [tuple(row.tolist()) for row in _probabilities(mixings, [each.double() for each in numbers])]


def entropies(mixings: Sequence[Mixing], numbers: Sequence[Tensor]) -> list[float]:
    """The entropy of each decision, in nats: of its softmax, or the mean of those of its inputs."""
    found = []
    for mixing, row in zip(mixings, probability_rows(mixings, numbers), strict=True):
        p = torch.tensor(row, dtype=torch.float64)
        nats = torch.special.entr(p)
        if mixing.kind == "inputs":
            found.append(float((nats + torch.special.entr(1.0 - p)).mean()) if len(p) else 0.0)
        else:
            found.append(float(nats.sum()))
    return found


def _probabilities(mixings: Sequence[Mixing], numbers: Sequence[Tensor]) -> list[Tensor]:
    if len(mixings) != len(numbers) or any(
        vector.shape != (len(mixing.options),) for mixing, vector in zip(mixings, numbers, strict=False)
    ):
        shapes = [tuple(vector.shape) for vector in numbers]
        raise ValueError(f"{len(mixings)} decisions have vectors of shapes {shapes}; give one number an option")
    return [
        vector.softmax(dim=0) if mixing.kind == "choice" else vector.sigmoid()
        for mixing, vector in zip(mixings, numbers, strict=True)
    ]


class MixedNetwork(nn.Module):
    """A mixed supernet with weights. Batch norms take the statistics of their batch, always.

    Those within options have no numbers to train, which would undo what the options weigh (Liu et al., 2019).
    """

    def __init__(self, graph: MixedGraph) -> None:
        super().__init__()
        self._graph = graph
        self.layers = nn.ModuleDict()
        self.options = nn.ModuleDict()
        for node in graph.nodes:
            if node.layer is not None:
                self.layers[node.name] = build_layer(node.layer, *map(graph.shape, node.inputs))
            for place, edge in enumerate(node.edges):
                shape = read_shape(graph.shape(edge.source), edge)
                self.options[f"{node.name}_{place}"] = nn.ModuleList(
                    _without_affine(_in_turn(option.layers or (), shape)) for option in edge.options
                )
        self.head = build_layer(graph.head, graph.shape(len(graph.nodes)))
        for module in self.modules():
            if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
                # They would mix the statistics of all weights that there have been.
                module.track_running_stats = False
                module.running_mean = module.running_var = module.num_batches_tracked = None

    def forward(self, images_BCHW: Tensor, mix: Mix) -> Tensor:
        """Logits (B, K)."""
        maps = [images_BCHW]
        for node in self._graph.nodes:
            if node.layer is not None:
                maps.append(self.layers[node.name](*[maps[source] for source in node.inputs]))
                continue
            total: Tensor | None = None
            for place, edge in enumerate(node.edges):
                modules = self.options[f"{node.name}_{place}"]
                assert isinstance(modules, nn.ModuleList)
                made = self._edge(edge, modules, maps[edge.source], node.shape[0], mix)
                if made is not None:
                    total = made if total is None else total + made
            if total is None or total.ndim == 0:
                # Every edge gave zeros.
                zeros = images_BCHW.new_zeros(len(images_BCHW), *node.shape)
                total = zeros if total is None else zeros + total
            maps.append(total)
        logits_BK: Tensor = self.head(maps[-1])
        return logits_BK

    def _edge(
        self, edge: MixedEdge, modules: nn.ModuleList, read_BCHW: Tensor, channels: int, mix: Mix
    ) -> Tensor | None:
        """What an edge adds to its node; None for nothing."""
        if edge.factor is not None and not mix.takes(((edge.factor,),)):
            return None
        seen = read_BCHW.shape[1] // edge.share
        total: Tensor | None = None
        alone: list[Tensor] = []
        for option, module in zip(edge.options, modules, strict=True):
            if not any(map(mix.takes, _weights_of(option))):
                alone += [mix.weight(weight) for weight in _weights_of(option)] if mix.passes_back else []
                continue
            if option.layers is None:
                continue
            made = module(read_BCHW[:, :seen] if edge.share > 1 else read_BCHW)
            made = made * self._factors(option, made, mix)
            if made.shape[1] < channels // edge.share:
                made = functional.pad(made, (0, 0, 0, 0, 0, channels // edge.share - made.shape[1]))
            total = made if total is None else total + made
        if alone:
            # Their sum is 0, and the map is not, so that each has the gradient of the map's sum.
            idle = torch.stack(alone).sum()
            total = idle if total is None else total + idle
        if edge.share > 1 and (not edge.passing or mix.takes(edge.passing)):
            passing = mix.weight(edge.passing) if edge.passing else None
            total = _beside(total, read_BCHW, seen, edge, passing)
        if total is not None and edge.factor is not None:
            total = total * mix.factor(edge.factor)
        return total

    def _factors(self, option: MixedOption, made_BCHW: Tensor, mix: Mix) -> Tensor:
        """What an option's map is multiplied by: a number, or one a channel (C, 1, 1)."""
        if not option.masks:
            return mix.weight(option.weight)
        channels = torch.arange(made_BCHW.shape[1], device=made_BCHW.device)
        factors = [mix.weight(weight) * (channels < leading) for weight, leading in option.masks]
        return torch.stack(factors).sum(dim=0)[:, None, None]


def _weights_of(option: MixedOption) -> list[Weight]:
    return [weight for weight, _ in option.masks] if option.masks else [option.weight]


def _beside(total: Tensor | None, read_BCHW: Tensor, seen: int, edge: MixedEdge, passing: Tensor | None) -> Tensor:
    """What the options made of the first channels, beside the others, shuffled."""
    rest = read_BCHW[:, seen:] if passing is None else read_BCHW[:, seen:] * passing
    if edge.stride > 1:
        # Odd sides are rounded up, as those of the options.
        rest = functional.max_pool2d(rest, edge.stride, edge.stride, ceil_mode=True)
    if total is None or total.ndim == 0:
        zeros = rest.new_zeros(len(rest), seen, *rest.shape[2:])
        total = zeros if total is None else zeros + total
    whole = torch.cat([total, rest], dim=1)
    images, channels, height, width = whole.shape
    split = whole.reshape(images, edge.share, channels // edge.share, height, width)
    return split.transpose(1, 2).reshape(images, channels, height, width)


def _in_turn(layers: Sequence[Layer], shape: tuple[int, int, int]) -> nn.Module:
    modules = []
    for layer in layers:
        modules.append(build_layer(layer, shape))
        shape = legal_output(layer, shape)
    return nn.Sequential(*modules)


def _without_affine(module: nn.Module) -> nn.Module:
    for norm in module.modules():
        if isinstance(norm, nn.BatchNorm2d):
            norm.affine = False
            norm.register_parameter("weight", None)
            norm.register_parameter("bias", None)
    return module
