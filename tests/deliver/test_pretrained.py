"""Fine-tuning from torchvision's weights, with a file of random ones in the place where it keeps them."""

from urllib.error import URLError

import pytest
import torch
from torchvision.models import MobileNet_V3_Small_Weights, mobilenet_v3_small

from replaytree.data import from_arrays
from replaytree.deliver import Subject
from replaytree.deliver.baselines import fine_tuning
from replaytree.deliver.pretrained import pretrained
from replaytree.deliver.retrain import Retraining
from replaytree.errors import ConfigError
from replaytree.space import Classifier, chain
from replaytree.space.building import build
from replaytree.space.layers import TorchvisionFeatures
from replaytree.training import Recipe

NAME = "mobilenet-v3-small"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Where torch.hub keeps its files; nothing is downloaded."""

    def refuse(*args, **options):
        raise URLError("no network")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr("torch.hub.download_url_to_file", refuse)
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    return folder


@pytest.fixture
def theirs(folder):
    """A network with random weights, stored as torchvision's own."""
    torch.manual_seed(1)
    network = mobilenet_v3_small().eval()
    torch.save(network.state_dict(), folder / MobileNet_V3_Small_Weights.DEFAULT.url.split("/")[-1])
    return network


def images(channels, side=32):
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (40, side, side, channels), dtype=torch.uint8, generator=generator).numpy()
    return from_arrays(pixels, [0, 1] * 20)


def test_it_is_torchvisions_network_on_larger_images(theirs):
    fitted, start = pretrained(NAME, images(3))
    assert fitted.label == "mobilenet-v3-small-pretrained"
    assert fitted.graph.nodes[0].layer.upscale == 3
    assert start.name == "MobileNet_V3_Small_Weights.IMAGENET1K_V1"
    network = build(fitted.graph.with_classes(1000)).eval()
    head = {f"head.linear.{name}": theirs.classifier[3].state_dict()[name] for name in ("weight", "bias")}
    network.load_state_dict({**start.tensors, **head})
    inputs = torch.randn(2, 3, 32, 32)
    larger = inputs.repeat_interleave(3, 2).repeat_interleave(3, 3)
    with torch.no_grad():
        torch.testing.assert_close(network(inputs), theirs(larger), rtol=1e-4, atol=1e-4)


def test_a_grey_image_is_read_as_three_equal_channels(theirs):
    fitted, start = pretrained(NAME, images(1, side=96))
    assert fitted.graph.nodes[0].layer.upscale == 1
    first = next(iter(start.tensors))
    torch.testing.assert_close(start.tensors[first][:, 0], theirs.features[0][0].weight.sum(1))


def test_training_starts_from_the_weights_and_says_so(theirs):
    data = images(3)
    fitted, start = pretrained(NAME, data)
    subject = Subject(fitted.graph, (fitted.label,), data, None, baseline=NAME, start=start)
    recipe = fine_tuning(Recipe(batch_size=40, learning_rate=1e-9, average_share=0.0))
    assert recipe.learning_rate == pytest.approx(1e-10)
    model, measured = Retraining(subject, recipe, epochs=1).run(3, device=torch.device("cpu"))
    assert measured.description.training["pretrained"] == "MobileNet_V3_Small_Weights.IMAGENET1K_V1"
    weights = {name: tensor for name, tensor in model.network.state_dict().items() if name.endswith("weight")}
    for name in weights.keys() & start.tensors.keys():
        torch.testing.assert_close(weights[name], start.tensors[name], rtol=0, atol=1e-6)
    assert "resnet" not in subject.stem
    assert subject.stem.startswith(f"{data.name}-mobilenet-v3-small-pretrained-")


def test_weights_that_cannot_be_had(folder):
    with pytest.raises(ConfigError, match=r"cannot be had from https://\S+ \(.*no network.*put them at .*checkpoints"):
        pretrained(NAME, images(3))
    file = folder / MobileNet_V3_Small_Weights.DEFAULT.url.split("/")[-1]
    file.write_bytes(b"nothing")
    with pytest.raises(ConfigError, match=r"the file .* may be damaged: delete it"):
        pretrained(NAME, images(3))
    torch.save({"features.0.0.weight": torch.zeros(1)}, file)
    with pytest.raises(ConfigError, match="are not those of this torchvision"):
        pretrained(NAME, images(3))


def test_networks_and_images_without_weights(theirs):
    with pytest.raises(
        ConfigError, match="resnet8 has no pretrained weights; these have: resnet18, mobilenet-v3-small"
    ):
        pretrained("resnet8", images(3))
    with pytest.raises(ConfigError, match="images have 2 channels, and pretrained weights are for 1 or 3"):
        pretrained(NAME, images(2))


@pytest.mark.parametrize(
    ("name", "params", "flops"), [("mobilenet_v3_small", 2_542_856, 56.5e6), ("resnet18", 11_689_512, 1.814e9)]
)
def test_costs_are_those_that_torchvision_publishes(name, params, flops):
    graph = chain([TorchvisionFeatures(name)], input_shape=(3, 224, 224), head=Classifier(1000))
    assert graph.params == params
    assert graph.flops == pytest.approx(flops, rel=1e-3)
