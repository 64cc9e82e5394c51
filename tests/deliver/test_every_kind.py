"""One network with every kind of layer side by side, in every form that a model is exported in."""

import tempfile
from pathlib import Path

import pytest
import torch
from torch import nn

from replaytree.deliver.deployed import Deployed
from replaytree.deliver.description import Description
from replaytree.deliver.onnx_file import OPERATIONS, described, onnx_content, onnx_model
from replaytree.deliver.onnx_int8 import int8_proto
from replaytree.deliver.pt2_file import pt2_content, run_own_pt2
from replaytree.deliver.python_source import python_source
from replaytree.deliver.tflite_int8 import TfliteInt8
from replaytree.space import Classifier, Concatenation, Graph, GraphNode
from replaytree.space.catalogue import about, named_space, names
from replaytree.space.graph import IMAGE
from replaytree.space.layers import KINDS, TorchvisionFeatures

SHAPE = (3, 12, 12)


@pytest.fixture(scope="module")
def layers(random_paths):
    """Two layers of each kind that the named spaces have, with the number of maps that each reads."""
    found = {}
    for name in names("images"):
        switches = [{option: not value} for option, value in about(name).defaults.items() if isinstance(value, bool)]
        for options in ({}, *switches):
            space = named_space(name, input_shape=SHAPE, num_classes=3, max_layers=4, **options)
            for path in random_paths(space, 12):
                for layer, shapes in space.network(path).parts(head=False):
                    if layer.output_shape(*[SHAPE] * len(shapes)) is not None:
                        found.setdefault(type(layer), {})[layer] = len(shapes)
    # Of no space: baselines have it.
    found[TorchvisionFeatures] = {TorchvisionFeatures("mobilenet_v3_small", 0.25, stem_stride=1, upscale=2): 1}
    return [each for of_kind in found.values() for each in list(of_kind.items())[:2]]


@pytest.fixture(scope="module")
def description(layers):
    nodes = tuple(
        GraphNode(f"part{place}", layer, (IMAGE,) * inputs, 1) for place, (layer, inputs) in enumerate(layers)
    )
    graph = Graph(SHAPE, nodes, tuple(range(len(nodes))), Classifier(3), Concatenation())
    return Description(graph=graph, labels="everything", classes=("a", "b", "c"), mean=(0.5,) * 3, std=(0.2,) * 3)


@pytest.fixture(scope="module")
def model(description):
    torch.manual_seed(0)
    return Deployed(description).eval()


@pytest.fixture(scope="module")
def images():
    return torch.randint(0, 256, (5, *SHAPE), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def test_every_kind_is_there(layers):
    assert {type(layer).__name__ for layer, _ in layers} == {*KINDS} - {"Classifier", "AuxiliaryClassifier"}


@torch.no_grad()
def test_onnx(model, description, images):
    pytest.importorskip("onnxruntime")
    exported = onnx_model(onnx_content(model, description), origin="here")
    torch.testing.assert_close(exported.logits(images), model(images), rtol=0, atol=1e-4)


def test_a_new_kind_may_have_the_usual_activations():
    pytest.importorskip("onnxscript")
    usual = (nn.Hardswish(), nn.Hardsigmoid(), nn.SiLU(), nn.Tanh(), nn.LeakyReLU(), nn.ELU(), nn.GELU(), nn.Mish(),
             nn.ReLU6(), nn.ChannelShuffle(2))  # fmt: skip
    network = nn.Sequential(*usual).eval()
    program = torch.onnx.export(network, (torch.zeros(2, 4, 8, 8),), dynamo=True, verbose=False)
    written = {node.op_type for node in program.model_proto.graph.node}
    assert {"HardSwish", "Gelu", "Transpose"} <= written <= OPERATIONS


@torch.no_grad()
def test_pt2(model, description, images):
    logits = run_own_pt2(pt2_content(model, description), images, batch=5)
    torch.testing.assert_close(logits, model(images), rtol=0, atol=1e-5)


@torch.no_grad()
def test_python(model, description, images):
    names: dict = {"__file__": "net.py", "__name__": "net"}
    exec(python_source(description, weights=Path("net.safetensors")), names)
    network = names["Network"]().eval()
    network.layers.load_state_dict(model.network.state_dict())
    torch.testing.assert_close(network(images), model(images), rtol=0, atol=1e-5)


@torch.no_grad()
def test_int8(model, description, images):
    """Every kind computes in whole numbers: what onnxruntime makes of the file has a float kernel nowhere."""
    onnx, onnxruntime = pytest.importorskip("onnx"), pytest.importorskip("onnxruntime")
    content = described(int8_proto(model, images), description)
    found, expected = onnx_model(content, origin="here").logits(images), model(images)
    assert float((found - expected).abs().max() / expected.abs().max()) < 0.1
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    with tempfile.TemporaryDirectory() as folder:
        options.optimized_model_filepath = f"{folder}/fused.onnx"
        onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        fused = {node.op_type for node in onnx.load(options.optimized_model_filepath).graph.node}
    assert {"QLinearConv", "QGemm"} <= fused
    assert not {"Conv", "Gemm", "BatchNormalization"} & fused


@torch.no_grad()
def test_tflite(model, description, images):
    for name in ("litert_torch", "ai_edge_quantizer", "ai_edge_litert"):
        pytest.importorskip(name, reason="needs the extra tflite")
    found, expected = TfliteInt8(model, images).logits(images, description), model(images)
    assert float((found - expected).abs().max() / expected.abs().max()) < 0.1
