import runpy
import subprocess
import sys
from dataclasses import replace

import pytest
import torch

from replaytree.deliver.export import SUFFIX, export
from replaytree.deliver.load import load
from replaytree.deliver.weights import read_weights, write_weights
from replaytree.errors import ConfigError, ModelError


def test_the_verification_is_that_of_the_validation_images(weights, digits, tmp_path):
    done = export(weights, tmp_path / "m.safetensors", form="safetensors", data=digits)
    network, _ = read_weights(weights)
    with torch.no_grad():
        right = (network(digits.val_images).argmax(dim=1) == digits.val_labels).float().mean()
    assert done.images == len(digits.val_labels) == 180
    assert done.model_accuracy == done.export_accuracy == pytest.approx(float(right))
    assert (done.differing_predictions, done.largest_difference) == (0, 0.0)
    assert done.text.startswith("verified on 180 validation images: accuracy 0.")


def test_onnx_runs_with_onnxruntime_alone(weights, digits, tmp_path):
    import onnxruntime

    export(weights, tmp_path / "m.onnx", form="onnx", data=digits)
    session = onnxruntime.InferenceSession(tmp_path / "m.onnx")
    for count in (1, 5):
        (logits,) = session.run(None, {"images": digits.val_images[:count].numpy()})
        assert logits.shape == (count, 10)
    metadata = session.get_modelmeta().custom_metadata_map
    assert metadata["classes"].split("\n") == list("0123456789")


def test_pt2_runs_with_torch_alone(weights, digits, tmp_path):
    export(weights, tmp_path / "m.pt2", form="pt2", data=digits)
    module = torch.export.load(tmp_path / "m.pt2").module()
    expected = load(weights).logits(digits.val_images[:5])
    torch.testing.assert_close(module(digits.val_images[:5]), expected)


def test_python_imports_nothing_of_replaytree(weights, digits, tmp_path):
    done = export(weights, tmp_path / "net.py", form="python", data=digits)
    assert [file.name for file in done.files] == ["net.py", "net.safetensors"]
    code = "import sys, net; net.load(); sys.exit(any(name.startswith('replaytree') for name in sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=False).returncode == 0
    module = runpy.run_path(str(tmp_path / "net.py"))
    assert module["CLASSES"] == digits.classes
    with torch.no_grad():
        logits = module["load"]()(digits.val_images[:9])
    torch.testing.assert_close(logits, load(weights).logits(digits.val_images[:9]))


def test_an_output_that_exists(weights, digits, tmp_path):
    file = tmp_path / "net.safetensors"
    file.write_text("mine")
    for form, name in (("safetensors", "net.safetensors"), ("python", "net.py")):
        with pytest.raises(ConfigError, match=r"net\.safetensors exists; .*--force"):
            export(weights, tmp_path / name, form=form, data=digits)
    assert file.read_text() == "mine"
    export(weights, file, form="safetensors", data=digits, force=True)
    assert load(file).classes == digits.classes


@pytest.mark.parametrize("form", SUFFIX)
def test_names_of_another_kind(weights, digits, tmp_path, form):
    with pytest.raises(ConfigError, match=f"must end in \\{SUFFIX[form]}"):
        export(weights, tmp_path / "model.bin", form=form, data=digits)
    with pytest.raises(ConfigError, match="does not exist; make it"):
        export(weights, tmp_path / "nowhere" / f"m{SUFFIX[form]}", form=form, data=digits)


def test_an_export_that_does_not_equal_its_model_is_not_left_behind(weights, digits, tmp_path, monkeypatch):
    def write_wrong(file, network, description):
        with torch.no_grad():
            network.network.head.linear.bias[3] += 0.001
        write_weights(file, network, description)
        with torch.no_grad():
            network.network.head.linear.bias[3] -= 0.001

    monkeypatch.setattr(sys.modules["replaytree.deliver.export"], "write_weights", write_wrong)
    with pytest.raises(ModelError, match=r"differ by up to 1\.0e-03.*nothing was written"):
        export(weights, tmp_path / "m.safetensors", form="safetensors", data=digits)
    assert list(tmp_path.iterdir()) in ([], [tmp_path / "cache"])


def test_images_of_another_data_set(weights, digits, tmp_path):
    other = replace(digits, classes=tuple("abcdefghij"))
    with pytest.raises(ConfigError, match="not those of"):
        export(weights, tmp_path / "m.onnx", form="onnx", data=other)
