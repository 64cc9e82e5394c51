"""Small real models: digits trained for a moment, once for all tests of a module."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from replaytree.data import load_data
from replaytree.deliver import Subject
from replaytree.deliver.description import Description
from replaytree.deliver.full_training import FullTraining
from replaytree.deliver.weights import write_weights
from replaytree.space import Classifier, chain, xu24
from replaytree.training import Recipe

LABELS = ("conv32k4", "res64s2", "max3s1", "conv32k3", "avg2s2")


@pytest.fixture(autouse=True)
def clean_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("REPLAYTREE_DATA", raising=False)


def layers(*labels, width=0.25):
    known = {layer.label: layer for layer in xu24(width)}
    return tuple(known[label] for label in labels)


def network(data, *own):
    """The graph of some layers on the images of `data`, and their labels: keywords of Description and Subject."""
    graph = chain(own, input_shape=data.image_shape, head=Classifier(data.num_classes))
    return {"graph": graph, "labels": graph.labels}


@pytest.fixture(scope="session")
def digits():
    return load_data("digits")


@pytest.fixture(scope="session")
def description(digits):
    """A chain with every kind of layer."""
    return Description(
        **network(digits, *layers(*LABELS)) | {"labels": " ".join(LABELS)},
        classes=digits.classes,
        mean=digits.mean,
        std=digits.std,
        seed=0,
        epochs=2,
        data={"dataset": "digits"},
    )


@pytest.fixture(scope="session")
def weights(tmp_path_factory, description, digits):
    """A trained model in a file; do not change it."""
    recipe = Recipe(batch_size=64, crop_padding=1, average_share=0.02)
    description = replace(description, training={"epochs": 2, **recipe.values()})
    training = FullTraining(description, digits, recipe, device=torch.device("cpu"))
    file = tmp_path_factory.mktemp("weights") / "digits.safetensors"
    write_weights(file, training.run(), description)
    return file


@pytest.fixture
def pictures(tmp_path):
    """A folder with train/, and test/ of two colours: 12 and 5 PNGs a class."""
    rng = np.random.default_rng(0)
    for part, count in (("train", 12), ("test", 5)):
        for name, channel in (("red", 0), ("blue", 2)):
            folder = tmp_path / "pictures" / part / name
            folder.mkdir(parents=True)
            for number in range(count):
                pixels = rng.integers(0, 90, (9, 11, 3), dtype=np.uint8)
                pixels[:, :, channel] += 150
                Image.fromarray(pixels).save(folder / f"{number}.png")
    return tmp_path / "pictures"


@pytest.fixture
def subject(pictures):
    options = {"dataset": str(pictures), "image_size": 8}
    data = load_data(**options)
    return Subject(**network(data, *layers("conv32k3", "max2s2")), data=data, data_options=options)
