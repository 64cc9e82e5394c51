"""Networks with skips, joins and loose ends, in every form that a model is delivered in."""

from dataclasses import replace
from functools import partial

import pytest
import torch

from replaytree.deliver import Subject, export, load
from replaytree.deliver.description import Description
from replaytree.deliver.export import SUFFIX
from replaytree.deliver.full_training import FullTraining
from replaytree.deliver.latency import eager_runner, latencies
from replaytree.deliver.python_source import python_source
from replaytree.deliver.weights import read_weights, write_weights
from replaytree.errors import ModelError
from replaytree.space.building import build
from replaytree.training import Recipe

# A convolution; a pooling of the image; a convolution of the image and both; a pooling of the first: two loose ends.
PATH = (2, 3, 14, 5)


@pytest.fixture(scope="module")
def graph(skipping, digits):
    return skipping(input_shape=digits.image_shape, num_classes=10).network(PATH)


@pytest.fixture(scope="module")
def weights(tmp_path_factory, graph, description, digits):
    recipe = Recipe(batch_size=64, crop_padding=1, average_share=0.02)
    training = {"epochs": 2, **recipe.values()}
    described = replace(description, graph=graph, labels="conv1 pool1 conv111 pool10", training=training)
    training = FullTraining(described, digits, recipe, device=torch.device("cpu"))
    file = tmp_path_factory.mktemp("weights") / "skips.safetensors"
    write_weights(file, training.run(), described)
    return file


@pytest.mark.parametrize("mirror", [False, True], ids=["plain", "mirror"])
@pytest.mark.parametrize("form", SUFFIX)
def test_every_export_equals_the_model(weights, digits, tmp_path, form, mirror):
    if form == "onnx":
        pytest.importorskip("onnxruntime")
    out = tmp_path / f"model{SUFFIX[form]}"
    done = export(weights, out, form=form, data=digits, mirror=mirror)
    assert done.largest_difference < 1e-5
    network, _ = read_weights(weights)
    network.mirror = mirror
    images = digits.val_images[:50]
    with torch.no_grad():
        torch.testing.assert_close(load(out).logits(images), network(images), rtol=0, atol=1e-5)


def test_the_python_file_reads_line_by_line(weights, tmp_path):
    network, described = read_weights(weights)
    text = python_source(described, weights=tmp_path / "skips.safetensors")
    assert "        self.layer3_join = Concatenation((0, 0), (0, 0), (4, 4))  # 7x8x8\n" in text
    calls = text.partition("def forward(self, image):\n")[2].partition("\n\n")[0]
    assert [line.strip() for line in calls.splitlines()] == [
        "layer1_conv5k3 = self.layer1_conv5k3(image)",
        "layer2_max2s2 = self.layer2_max2s2(image)",
        "layer3_join = self.layer3_join(image, layer1_conv5k3, layer2_max2s2)",
        "layer3_conv7k3 = self.layer3_conv7k3(layer3_join)",
        "layer4_max2s2 = self.layer4_max2s2(layer1_conv5k3)",
        "return self.head(self.merge(layer3_conv7k3, layer4_max2s2))",
    ]
    names: dict = {"__file__": "net.py", "__name__": "net"}
    exec(text, names)
    assert list(names["Network"]().layers.state_dict()) == list(network.network.state_dict())


@pytest.mark.parametrize("labels", ['"""; raise SystemExit; """', "\\", 'ends in "'])
def test_labels_in_a_python_file_are_text_whatever_they_are(weights, tmp_path, labels):
    _, described = read_weights(weights)
    text = python_source(replace(described, labels=labels), weights=tmp_path / "skips.safetensors")
    names: dict = {"__file__": "net.py", "__name__": "net"}
    exec(text, names)
    assert names["__doc__"].startswith(f"{labels}\n\nWritten by replaytree.")


def test_a_field_that_is_no_word_is_not_read_from_a_file(weights):
    _, described = read_weights(weights)
    text = described.to_json().replace('"kind": "max"', '"kind": "max(os)"')
    with pytest.raises(ModelError, match=r"'kind' of a layer is 'max\(os\)'; it must be a number or a word"):
        Description.from_json(text, origin="x")


def test_what_reads_what_belongs_to_the_identity_and_to_the_name_of_the_file(graph, digits, description):
    described = replace(description, graph=graph, labels="a b c d")
    nodes = list(graph.nodes)
    nodes[3] = replace(nodes[3], inputs=(0,))
    other = replace(graph, nodes=tuple(nodes), ends=(2, 3, 4))
    assert replace(described, graph=other).identity != described.identity
    stems = {Subject(each, ("a", "b", "c", "d"), digits, None).stem for each in (graph, other)}
    assert len(stems) == 2
    assert all(stem.startswith("digits-4-layers-") for stem in stems)


def test_it_has_a_latency(graph):
    [found] = latencies([eager_runner(partial(build, graph), graph.input_shape, torch.device("cpu"))])
    assert found > 0
