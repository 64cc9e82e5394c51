import importlib.util
import json
import subprocess
import sys
import zipfile

import numpy as np
import pytest
import torch
from torch import nn

from replaytree.deliver.export import export
from replaytree.deliver.int8 import Int8Options
from replaytree.deliver.load import load
from replaytree.deliver.tflite_int8 import _in_two_steps, run_tflite
from replaytree.errors import ConfigError, ModelError

WITH_EXTRA = all(importlib.util.find_spec(name) for name in ("litert_torch", "ai_edge_quantizer", "ai_edge_litert"))
needs_extra = pytest.mark.skipif(not WITH_EXTRA, reason="needs the extra tflite")

# What someone who tries the file before flashing it would write: it knows numpy, LiteRT and the file.
SCRIPT = """
import json, sys, zipfile
import numpy
from ai_edge_litert.interpreter import Interpreter
run = Interpreter(sys.argv[1])
run.allocate_tensors()
(image,), (answer,) = run.get_input_details(), run.get_output_details()
assert image["dtype"] == answer["dtype"] == numpy.int8 and image["quantization"] == (1.0, -128)
assert {each["dtype"].__name__ for each in run.get_tensor_details()} == {"int8", "int32"}
pictures, labels = (numpy.load(file) for file in sys.argv[2:4])
found = []
for picture in pictures:
    run.set_tensor(image["index"], (picture[None].astype(int) - 128).astype(numpy.int8))
    run.invoke()
    found.append(int(run.get_tensor(answer["index"])[0].argmax()))
assert not any(name.split(".")[0] in ("replaytree", "torch") for name in sys.modules)
archive = zipfile.ZipFile(sys.argv[1])
print(json.dumps({
    "accuracy": sum(a == b for a, b in zip(found, labels.tolist())) / len(labels),
    "classes": archive.read("labels.txt").decode().split("\\n"),
    "told": json.loads(archive.read("replaytree.json")),
}))
"""


@pytest.fixture(scope="module")
def done(tmp_path_factory, weights, digits):
    out = tmp_path_factory.mktemp("tflite") / "small.tflite"
    return export(weights, out, form="tflite", data=digits, int8=Int8Options(max_drop=0.05))


@needs_extra
def test_a_script_with_litert_alone_gets_the_accuracy_that_the_file_tells(done, digits, tmp_path):
    (tmp_path / "use.py").write_text(SCRIPT)
    np.save(tmp_path / "images.npy", digits.val_images.permute(0, 2, 3, 1).numpy())
    np.save(tmp_path / "labels.npy", digits.val_labels.numpy())
    words = [sys.executable, "use.py", str(done.files[0]), "images.npy", "labels.npy"]
    ran = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    found = json.loads(ran.stdout)
    assert found["classes"] == list("0123456789")
    assert found["accuracy"] == pytest.approx(done.export_accuracy)
    assert found["told"]["accuracy"] == done.export_accuracy
    assert found["told"]["float_accuracy"] == done.model_accuracy > 0.3
    assert "180 validation images: accuracy" in done.text


@needs_extra
def test_it_answers_nearly_as_the_network_and_is_small(done, digits):
    assert run_tflite(done.files[0].read_bytes(), digits.val_images[:3]).shape == (3, 10)
    assert 0.0 < done.largest_difference < 1.0
    assert done.nbytes == done.files[0].stat().st_size < 2 * done.description.params + 20_000
    assert zipfile.is_zipfile(done.files[0])


@needs_extra
def test_it_is_loaded_again_and_answers_as_when_it_was_verified(done, digits, tmp_path):
    model = load(done.files[0])
    assert (model.classes, model.network) == (tuple("0123456789"), None)
    # It has the accuracy that was told for it, and no other.
    assert (model.description.validation_accuracy, model.description.test_accuracy) == (None, None)
    right = np.array(model.predict(digits.val_images)).astype(int) == digits.val_labels.numpy()
    assert right.mean() == pytest.approx(done.export_accuracy)
    content = bytearray(done.files[0].read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / "changed.tflite").write_bytes(content)
    with pytest.raises(ModelError, match=r"changed\.tflite was changed after it was written"):
        load(tmp_path / "changed.tflite")


@needs_extra
def test_a_file_of_others_is_none_of_ours(done, tmp_path):
    content = done.files[0].read_bytes()
    (tmp_path / "bare.tflite").write_bytes(content[: content.index(b"PK")])
    with pytest.raises(ModelError, match=r"bare.tflite holds no description of replaytree's; give a file that"):
        load(tmp_path / "bare.tflite")


@needs_extra
def test_nothing_is_printed_and_equal_files_have_equal_bytes(done, weights, digits, tmp_path, capfd):
    again = export(weights, tmp_path / "b.tflite", form="tflite", data=digits, int8=Int8Options(max_drop=0.05))
    assert capfd.readouterr() == ("", "")
    assert again.files[0].read_bytes() == done.files[0].read_bytes()


@pytest.mark.parametrize("side", [7, 8])
@pytest.mark.parametrize("include", [False, True])
def test_a_strided_average_in_two_steps_is_the_same(side, include):
    pool = nn.AvgPool2d(3, 2, 1, count_include_pad=include)
    images = torch.randn(2, 3, side, side, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(_in_two_steps(pool)(images), pool(images))


def test_without_the_extra_the_message_says_how_to_get_it(weights, digits, tmp_path, monkeypatch):
    known = importlib.util.find_spec
    missing = ("litert_torch", "ai_edge_quantizer", "ai_edge_litert")
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name in missing else known(name, *rest)
    )
    with pytest.raises(ConfigError) as found:
        export(weights, tmp_path / "m.tflite", form="tflite", data=digits)
    assert str(found.value) == (
        "TFLite needs litert-torch, ai-edge-quantizer and ai-edge-litert, which are not installed; pip install "
        "'replaytree[tflite]'"
    )
    assert not (tmp_path / "m.tflite").exists()
    (tmp_path / "other.tflite").write_bytes(b"")
    with pytest.raises(ConfigError, match=r"TFLite needs ai-edge-litert, which is not installed; pip install"):
        load(tmp_path / "other.tflite")
