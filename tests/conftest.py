"""A made-up space of skips, joins and loose ends, for whatever reads graphs."""

import pytest

from replaytree.errors import SpaceError
from replaytree.space import Classifier, Concatenation, Convolution, Graph, GraphNode, Pooling
from replaytree.space.building import build
from replaytree.space.graph import IMAGE


class Skipping:
    """A layer is a convolution (even action) or a pooling (odd), and a mask of what it reads.

    action // 2 is the mask: bit 0 the image, bit t the layer at depth t. Several inputs are concatenated. The head
    reads every layer that no layer reads, concatenated, too.
    """

    nested = True

    def __init__(self, *, input_shape=(1, 8, 8), num_classes=10, max_layers=4):
        self.input_shape, self.num_classes, self.max_layers = input_shape, num_classes, max_layers

    def network(self, prefix):
        nodes, outputs, loose = [], [IMAGE], {IMAGE}
        for depth, action in enumerate(prefix, start=1):
            inputs = [output for bit, output in enumerate(outputs) if action // 2 >> bit & 1]
            if not inputs or action >= 2 ** (depth + 1):
                raise SpaceError(f"layer {depth} is {action}, which reads nothing, or what is not there")
            loose -= set(inputs)
            if len(inputs) > 1:
                nodes.append(GraphNode(f"layer{depth}_join", Concatenation(), tuple(inputs), depth))
                inputs = [len(nodes) - 1]
            layer = Pooling("max", 2, 2) if action % 2 else Convolution(4 + depth, 3)
            nodes.append(GraphNode(f"layer{depth}_{layer.label}", layer, tuple(inputs), depth))
            outputs.append(len(nodes) - 1)
            loose.add(outputs[-1])
        ends = tuple(sorted(loose - {IMAGE} or loose))
        merge = Concatenation() if len(ends) > 1 else None
        return Graph(self.input_shape, tuple(nodes), ends, Classifier(self.num_classes), merge)

    def cost(self, prefix):
        graph = self.network(prefix)
        return graph.params, graph.flops

    def build(self, prefix, num_classes):
        return build(self.network(prefix))


@pytest.fixture(scope="session")
def skipping():
    return Skipping
