from pathlib import Path

import torch

from replaytree.deliver.deployed import Deployed
from replaytree.deliver.description import Description
from replaytree.deliver.python_source import python_source
from replaytree.space import Classifier, Convolution, ResidualBlock, chain


def test_the_written_network_equals_the_model_where_1x1_convolutions_have_a_stride():
    layers = (Convolution(8, 1, 2), ResidualBlock(6, 2), ResidualBlock(6), Convolution(5, 1))
    graph = chain(layers, input_shape=(3, 9, 8), head=Classifier(2))
    description = Description(
        graph=graph, labels=" ".join(graph.labels), classes=("a", "b"), mean=(0.5,) * 3, std=(0.2,) * 3, mirror=False,
        seed=0, epochs=1,
    )  # fmt: skip
    torch.manual_seed(0)
    model = Deployed(description).eval()
    names: dict = {"__file__": "net.py", "__name__": "net"}
    exec(python_source(description, weights=Path("net.safetensors")), names)
    network = names["Network"]().eval()
    network.layers.load_state_dict(model.network.state_dict())
    images = torch.randint(0, 256, (5, 3, 9, 8), dtype=torch.uint8)
    assert torch.allclose(network(images), model(images), atol=1e-5)
    kinds = {name: type(part).__name__ for name, part in network.layers.named_modules() if hasattr(part, "kernel_size")}
    assert kinds["layer1_conv8k1s2.0"] == kinds["layer2_res6s2.shortcut.0"] == "Subsampled"
    assert kinds["layer4_conv5k1.0"] == "Conv2d"
