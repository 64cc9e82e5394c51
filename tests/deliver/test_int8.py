import json
import logging
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from replaytree.data.images import ImageData, Labelled
from replaytree.deliver.deployed import Deployed
from replaytree.deliver.description import Accuracies
from replaytree.deliver.export import export
from replaytree.deliver.int8 import Int8Options
from replaytree.deliver.load import load
from replaytree.deliver.onnx_int8 import int8_proto
from replaytree.deliver.quantisable import Quantisable
from replaytree.deliver.weights import read_weights, write_weights
from replaytree.errors import ConfigError, ModelError
from replaytree.space import Classifier, chain

from .conftest import layers

pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")

# What someone on a board's gateway would write: it knows numpy, onnxruntime and the file.
SCRIPT = """
import json, sys
import numpy, onnxruntime
session = onnxruntime.InferenceSession(sys.argv[1], providers=["CPUExecutionProvider"])
(images,) = session.get_inputs()
assert (images.name, images.type, images.shape[1:]) == ("images", "tensor(uint8)", [1, 8, 8]), images
known = session.get_modelmeta().custom_metadata_map
pictures, labels = (numpy.load(file) for file in sys.argv[2:4])
(logits,) = session.run(None, {"images": pictures})
assert logits.dtype == numpy.float32
assert not any(name.split(".")[0] in ("replaytree", "torch") for name in sys.modules)
print(json.dumps({
    "accuracy": float((logits.argmax(1) == labels).mean()),
    "logits": logits.tolist(),
    "classes": known["classes"].split("\\n"),
    "told": json.loads(known["replaytree.int8"]),
}))
"""


@pytest.fixture(scope="module")
def done(tmp_path_factory, weights, digits):
    out = tmp_path_factory.mktemp("int8") / "small.onnx"
    return export(weights, out, form="onnx-int8", data=digits, int8=Int8Options(max_drop=0.05))


def run_alone(file, images, labels, folder):
    """What a process that has only numpy and onnxruntime makes of a file."""
    (folder / "use.py").write_text(SCRIPT)
    np.save(folder / "images.npy", images)
    np.save(folder / "labels.npy", labels)
    words = [sys.executable, "use.py", str(file), "images.npy", "labels.npy"]
    found = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stderr
    return json.loads(found.stdout)


def test_a_script_with_onnxruntime_alone_gets_the_accuracy_that_the_file_tells(done, digits, tmp_path):
    found = run_alone(done.files[0], digits.val_images.numpy(), digits.val_labels.numpy(), tmp_path)
    assert found["classes"] == list("0123456789")
    assert found["accuracy"] == pytest.approx(done.export_accuracy)
    assert found["told"] == {
        "accuracy": done.export_accuracy,
        "float_accuracy": done.model_accuracy,
        "images": 180,
        "calibration_images": 256,
        "measured_on": "validation images, held out",
    }
    assert done.model_accuracy > 0.3
    # The bytes go in as they are: the same logits as through load(), which checks the file first.
    own = load(done.files[0]).logits(digits.val_images)
    assert found["logits"] == own.tolist()


def test_the_verification_says_both_accuracies(done, weights, digits):
    network, _ = read_weights(weights)
    with torch.no_grad():
        expected_NK = network(digits.val_images)
    found_NK = load(done.files[0]).logits(digits.val_images)
    differing = int((expected_NK.argmax(dim=1) != found_NK.argmax(dim=1)).sum())
    share = [float((each.argmax(dim=1) == digits.val_labels).double().mean()) for each in (found_NK, expected_NK)]
    assert done.text == (
        f"verified on 180 validation images: accuracy {share[0]:.4f} in int8, {share[1]:.4f} in float; {differing} "
        f"predictions differ; ranges from 256 training images"
    )
    assert done.nbytes == done.files[0].stat().st_size
    assert 0.0 < done.largest_difference < 0.2 * float(expected_NK.abs().max())


def test_weights_are_int8_with_a_scale_a_channel(done):
    import onnx
    from onnx import TensorProto

    graph = onnx.load(done.files[0]).graph
    known = {tensor.name: tensor for tensor in graph.initializer}
    read = {node.output[0]: node for node in graph.node if node.op_type == "DequantizeLinear"}
    convolutions = [node for node in graph.node if node.op_type == "Conv"]
    # Those of test_onnx_is_folded..., and the normalisation.
    assert len(convolutions) == 5 + 1
    for node in convolutions:
        weight, scale, _ = (known[name] for name in read[node.input[1]].input)
        bias = known[read[node.input[2]].input[0]]
        assert (weight.data_type, bias.data_type) == (TensorProto.INT8, TensorProto.INT32)
        assert list(scale.dims) == [weight.dims[0]]
    assert done.nbytes < 2 * done.description.params + 20_000


@pytest.mark.parametrize("mirror", [False, True])
@torch.no_grad()
def test_what_is_quantised_equals_the_network(weights, digits, mirror):
    network, _ = read_weights(weights)
    network.mirror = mirror
    images = digits.val_images[:50]
    prepared = Quantisable(network).eval()
    torch.testing.assert_close(prepared(images.float()), network(images), rtol=0, atol=1e-4)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in prepared.modules())


@torch.no_grad()
def test_a_norm_without_a_convolution_becomes_one(description):
    torch.manual_seed(0)
    network = Deployed(description).eval()
    norm = nn.BatchNorm2d(1, affine=False).eval()
    # (x - 3) / sqrt(0.25)
    norm.running_mean.fill_(3.0)
    norm.running_var.fill_(0.25 - norm.eps)
    network.network = nn.Sequential(norm, nn.Flatten(), nn.Linear(64, 10))
    images = torch.full((2, 1, 8, 8), 255, dtype=torch.uint8)
    prepared = Quantisable(network).eval()
    value = (1.0 - description.mean[0]) / description.std[0]
    found = prepared.network[0](torch.full((1, 1, 1, 1), value))
    assert float(found) == pytest.approx((value - 3.0) / 0.5, rel=1e-5)
    torch.testing.assert_close(prepared(images.float()), network(images), rtol=0, atol=1e-4)


def test_an_export_of_the_mirror_image(weights, digits, tmp_path):
    done = export(
        weights, tmp_path / "m.onnx", form="onnx-int8", data=digits, mirror=True, int8=Int8Options(max_drop=0.1)
    )
    network, _ = read_weights(weights)
    images = digits.val_images
    with torch.no_grad():
        expected_NK = (network(images) + network(images.flip(3))) / 2
    model = load(done.files[0])
    assert model.description.mirror
    assert float((model.logits(images) - expected_NK).abs().max()) < 0.2 * float(expected_NK.abs().max())


def test_ranges_are_those_of_training_images_of_all_classes(digits):
    chosen = Int8Options(calibration_images=20).calibration(digits)
    rows = {image.numpy().tobytes(): int(label) for image, label in zip(digits.train_images, digits.train_labels,
                                                                        strict=True)}  # fmt: skip
    assert len(chosen) == 20
    assert {rows[image.numpy().tobytes()] for image in chosen} == set(range(10))
    assert len(Int8Options().calibration(digits)) == 256
    few = replace(digits, train_images=digits.train_images[:40], train_labels=digits.train_labels[:40])
    assert len(Int8Options().calibration(few)) == 40


def test_too_few_images_to_calibrate_with(digits):
    with pytest.raises(ConfigError, match=r"calibration_images is 5,000, and there are 1,617 training images; give "
                                          r"--calibration-images 1617 or fewer"):  # fmt: skip
        Int8Options(calibration_images=5000).calibration(digits)
    with pytest.raises(ConfigError, match="calibration_images is 15; it must be at least 16"):
        Int8Options(calibration_images=15)
    few = replace(digits, train_images=digits.train_images[:12], train_labels=digits.train_labels[:12])
    with pytest.raises(ConfigError, match="int8 needs 16 training images to find the range of every tensor, and there "
                                          "are 12"):  # fmt: skip
        Int8Options().calibration(few)
    part = Labelled(tuple(f"c{n}" for n in range(20)), torch.zeros(40, 1, 4, 4, dtype=torch.uint8),
                    torch.arange(40) % 20)  # fmt: skip
    many = ImageData.from_parts("many", train=part, val=part, crop_padding=0, flip=False)
    with pytest.raises(ConfigError, match="calibration_images is 16, and each of the 20 classes needs an image"):
        Int8Options(calibration_images=16).calibration(many)


@pytest.fixture(scope="module")
def spoilt(tmp_path_factory, weights, digits):
    """A model that one weight makes useless in 8 bits: a class whose logit is huge takes all levels of the others."""
    network, described = read_weights(weights)
    linear = network.network.get_submodule("head.linear")
    with torch.no_grad():
        linear.bias[0] = -5e3
    file = tmp_path_factory.mktemp("spoilt") / "spoilt.safetensors"
    write_weights(file, network, replace(described, plain=Accuracies(test=0.5), mirrored=Accuracies(test=0.5)))
    return file


def test_a_file_that_loses_too_much_is_refused(spoilt, digits, tmp_path):
    out = tmp_path / "no.onnx"
    with pytest.raises(ModelError) as found:
        export(spoilt, out, form="onnx-int8", data=digits)
    assert "more than --max-drop 0.01; nothing was written" in str(found.value)
    assert "or --accept-drop" in str(found.value)
    assert not out.exists()
    done = export(spoilt, out, form="onnx-int8", data=digits, int8=Int8Options(accept_drop=True))
    assert done.drop > 0.3
    # A model that was measured on test images was trained on the validation images.
    assert "180 validation images, which were trained on: accuracy" in done.text
    # The accuracies of the float network are not those of the file.
    assert load(out).description.test_accuracy is None


def test_a_drop_of_exactly_the_limit_is_allowed(weights, digits, tmp_path):
    done = export(weights, tmp_path / "a.onnx", form="onnx-int8", data=digits, int8=Int8Options(accept_drop=True))
    lost = max(0.0, done.drop)
    export(weights, tmp_path / "b.onnx", form="onnx-int8", data=digits, int8=Int8Options(max_drop=lost))


def test_options_of_int8_are_refused_for_other_formats(weights, digits, tmp_path):
    with pytest.raises(ConfigError, match="--format pt2 is not of 8 bits"):
        export(weights, tmp_path / "m.pt2", form="pt2", data=digits, int8=Int8Options(max_drop=0.1))
    with pytest.raises(ConfigError, match=r"a file of --format onnx-int8 must end in \.onnx"):
        export(weights, tmp_path / "m.pt2", form="onnx-int8", data=digits)
    with pytest.raises(ConfigError, match="max_drop is 2; it must be a fraction from 0 to 1"):
        Int8Options(max_drop=2)


def test_the_root_of_all_logs_is_left_as_it_was(weights, digits, caplog):
    network, _ = read_weights(weights)
    root = logging.getLogger()
    before = [*root.handlers], [*root.filters]
    int8_proto(network, digits.train_images[:16])
    assert ([*root.handlers], [*root.filters]) == before
    assert "pre-processing" not in caplog.text


@torch.no_grad()
def test_each_channel_is_normalised_by_its_own_mean_and_deviation(description):
    graph = chain(layers("conv32k3"), input_shape=(3, 4, 4), head=Classifier(10))
    colours = replace(description, graph=graph, mean=(0.1, 0.5, 0.9), std=(0.1, 0.2, 0.4))
    prepared = Quantisable(Deployed(colours).eval())
    found = prepared.normalise(torch.full((1, 3, 1, 1), 255.0)).flatten().tolist()
    # (1 - mean) / std
    assert found == pytest.approx([9.0, 2.5, 0.25], rel=1e-5)
