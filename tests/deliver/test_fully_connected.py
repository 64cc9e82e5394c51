"""A path of MetaQNN's layers, with a fully connected one and an ending, in every form that a model is delivered in."""

from dataclasses import replace

import pytest
import torch

from replaytree.deliver import export, load
from replaytree.deliver.export import SUFFIX
from replaytree.deliver.full_training import FullTraining
from replaytree.deliver.weights import read_weights, write_weights
from replaytree.space.catalogue import named_space
from replaytree.training import Recipe

LABELS = "conv64k3 pool2s2 fc256 softmax"


@pytest.fixture(scope="module")
def weights(tmp_path_factory, description, digits):
    space = named_space("metaqnn", input_shape=digits.image_shape, num_classes=10, max_layers=4, width=0.25)
    recipe = Recipe(batch_size=64, crop_padding=1, average_share=0.02)
    training = {"epochs": 1, **recipe.values()}
    graph = space.network(space.parse(LABELS))
    described = replace(description, graph=graph, labels=LABELS, training=training)
    training = FullTraining(described, digits, recipe, device=torch.device("cpu"))
    file = tmp_path_factory.mktemp("weights") / "connected.safetensors"
    write_weights(file, training.run(), described)
    return file


@pytest.mark.parametrize("form", SUFFIX)
def test_every_export_equals_the_model(weights, digits, tmp_path, form):
    if form == "onnx":
        pytest.importorskip("onnxruntime")
    out = tmp_path / f"model{SUFFIX[form]}"
    done = export(weights, out, form=form, data=digits)
    assert done.largest_difference < 1e-5
    network, _ = read_weights(weights)
    images = digits.val_images[:50]
    with torch.no_grad():
        torch.testing.assert_close(load(out).logits(images), network(images), rtol=0, atol=1e-5)
