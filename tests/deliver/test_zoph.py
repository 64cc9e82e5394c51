"""A network of zoph in every form that a model is delivered in: rectangular kernels and strides, joins, loose ends."""

from dataclasses import replace

import pytest
import torch

from replaytree.deliver import export, load
from replaytree.deliver.export import SUFFIX
from replaytree.deliver.full_training import FullTraining
from replaytree.deliver.weights import read_weights, write_weights
from replaytree.space.catalogue import named_space
from replaytree.training import Recipe

LABELS = "3x5f24 1x1s2x3f36@1 7x1s1x2f24@1+2 1x3f48"


@pytest.fixture(scope="module")
def weights(tmp_path_factory, description, digits):
    space = named_space(
        "zoph", input_shape=digits.image_shape, num_classes=10, max_layers=4, width=0.25, strides=True
    )  # fmt: skip
    recipe = Recipe(batch_size=64, crop_padding=1, average_share=0.02)
    training = {"epochs": 1, **recipe.values()}
    described = replace(description, graph=space.network(space.parse(LABELS)), labels=LABELS, training=training)
    file = tmp_path_factory.mktemp("weights") / "zoph.safetensors"
    write_weights(file, FullTraining(described, digits, recipe, device=torch.device("cpu")).run(), described)
    return file


@pytest.mark.parametrize("form", SUFFIX)
def test_every_export_equals_the_model(weights, digits, tmp_path, form):
    if form == "onnx":
        pytest.importorskip("onnxruntime")
    out = tmp_path / f"model{SUFFIX[form]}"
    assert export(weights, out, form=form, data=digits).largest_difference < 1e-5
    network, described = read_weights(weights)
    assert described.labels == LABELS
    images = digits.val_images[:50]
    with torch.no_grad():
        torch.testing.assert_close(load(out).logits(images), network(images), rtol=0, atol=1e-5)
