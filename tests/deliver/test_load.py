"""Reading model files back, and files that were tampered with: a clear error, and no code is run."""

import io
import json
import pickle
import shutil
import struct
import zipfile

import pytest
import torch

from replaytree.deliver.export import SUFFIX, export
from replaytree.deliver.load import load
from replaytree.deliver.weights import read_weights
from replaytree.errors import ModelError


class Bomb:
    def __reduce__(self):
        return (print, ("code from a file was run",))


@pytest.fixture(scope="module")
def exported(tmp_path_factory, weights, digits):
    folder = tmp_path_factory.mktemp("exported")
    for form, suffix in SUFFIX.items():
        export(weights, folder / f"{form}{suffix}", form=form, data=digits)
    return folder


@pytest.fixture
def copy(exported, tmp_path):
    """A file of an export (and of its weights) to damage."""

    def copy(name):
        for file in exported.iterdir():
            shutil.copy(file, tmp_path)
        return tmp_path / name

    return copy


@pytest.mark.parametrize("form", SUFFIX)
def test_every_form_predicts_a_thousand_images_alike(exported, weights, digits, form):
    model, network = load(exported / f"{form}{SUFFIX[form]}"), load(weights)
    generator = torch.Generator().manual_seed(0)
    noise = torch.randint(0, 256, (1000 - len(digits.val_labels), 1, 8, 8), dtype=torch.uint8, generator=generator)
    images = torch.cat([digits.val_images, noise])
    assert model.predict(images) == network.predict(images)
    torch.testing.assert_close(model.logits(images), network.logits(images), rtol=0, atol=1e-4)
    assert model.classes == digits.classes
    assert model.description == network.description


@pytest.mark.parametrize("name", ["onnx.onnx", "safetensors.safetensors"])
@pytest.mark.parametrize("place", [0.1, 0.5, 0.9])
def test_a_changed_byte_is_found(copy, name, place):
    file = copy(name)
    content = bytearray(file.read_bytes())
    content[int(place * len(content))] ^= 0x55
    file.write_bytes(content)
    with pytest.raises(ModelError) as caught:
        load(file)
    assert str(file) in str(caught.value)


def test_the_graph_of_a_pt2_is_not_used(copy, digits):
    """Its weights and description are; a graph that was changed has no say."""
    file = copy("pt2.pt2")
    before = load(file).logits(digits.val_images)
    changed = io.BytesIO()
    with zipfile.ZipFile(file) as old, zipfile.ZipFile(changed, "w") as new:
        for name in old.namelist():
            new.writestr(name, b"import os" if "/models/" in name else old.read(name))
    file.write_bytes(changed.getvalue())
    assert torch.equal(load(file).logits(digits.val_images), before)


@pytest.mark.parametrize("name", ["onnx.onnx", "pt2.pt2", "safetensors.safetensors"])
@pytest.mark.parametrize("damage", ["short", "empty", "pickle", "text"])
def test_damaged_files_run_no_code(copy, name, damage, capsys):
    file = copy(name)
    content = file.read_bytes()
    file.write_bytes(
        {"short": content[: len(content) // 2], "empty": b"", "pickle": pickle.dumps(Bomb()), "text": b"a" * 99}[damage]
    )
    with pytest.raises(ModelError, match=r"anew|damaged"):
        load(file)
    assert "code from a file" not in capsys.readouterr().out


def rewritten(file, change):
    """The safetensors file with its header's metadata changed."""
    content = file.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + length])
    change(header["__metadata__"])
    new = json.dumps(header).encode()
    file.write_bytes(struct.pack("<Q", len(new)) + new + content[8 + length :])


def test_a_changed_description_is_found(copy):
    file = copy("safetensors.safetensors")
    rewritten(file, lambda metadata: metadata.update(replaytree=metadata["replaytree"].replace('"0"', '"zero"')))
    with pytest.raises(ModelError, match="was changed after it was written"):
        load(file)


def test_weights_of_another_architecture(copy, weights):
    from replaytree.deliver.weights import DIGEST_KEY, digest

    file = copy("safetensors.safetensors")
    tensors = read_weights(weights)[0].network.state_dict()

    def change(metadata):
        metadata["replaytree"] = metadata["replaytree"].replace('"kernel": 4', '"kernel": 5')
        metadata[DIGEST_KEY] = digest(tensors, metadata["replaytree"])

    rewritten(file, change)
    with pytest.raises(ModelError, match="are of another architecture"):
        load(file)


def test_weights_without_a_description(tmp_path):
    from safetensors.torch import save_file

    save_file({"weight": torch.zeros(3)}, tmp_path / "other.safetensors")
    with pytest.raises(ModelError, match="without replaytree's description"):
        load(tmp_path / "other.safetensors")


def test_a_pt2_with_a_pickle_in_it_is_not_unpickled(copy, capsys):
    file = copy("pt2.pt2")
    rewritten_zip = io.BytesIO()
    with zipfile.ZipFile(file) as old, zipfile.ZipFile(rewritten_zip, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            if name.endswith("model_weights_config.json"):
                content = content.replace(b'"use_pickle": false', b'"use_pickle": true')
            if "/weight_" in name or name.endswith(".pt"):
                content = pickle.dumps(Bomb())
            new.writestr(name, content)
    file.write_bytes(rewritten_zip.getvalue())
    with pytest.raises(ModelError, match="pickled, and nothing is unpickled"):
        load(file)
    assert capsys.readouterr().out == ""


def test_other_pt2_and_onnx_files(tmp_path):
    network = torch.nn.Linear(2, 2).eval()
    torch.export.save(torch.export.export(network, (torch.zeros(1, 2),)), tmp_path / "other.pt2")
    with pytest.raises(ModelError, match="no description of replaytree's"):
        load(tmp_path / "other.pt2")
    torch.onnx.export(network, (torch.zeros(1, 2),), tmp_path / "other.onnx", dynamo=True, verbose=False)
    with pytest.raises(ModelError, match=r"other\.onnx"):
        load(tmp_path / "other.onnx")


@pytest.mark.parametrize(("place", "value", "says"), [(8, 1, "password"), (10, 77, "compression")])
def test_a_pt2_that_zipfile_cannot_unpack(copy, place, value, says):
    """The flags stand at byte 8 of an entry of the central directory, the way of compression at byte 10."""
    file = copy("pt2.pt2")
    content = bytearray(file.read_bytes())
    entry = content.find(b"PK\x01\x02")
    while entry >= 0:
        content[entry + place] |= value
        entry = content.find(b"PK\x01\x02", entry + 4)
    file.write_bytes(content)
    with pytest.raises(ModelError, match=rf"cannot be read as replaytree's pt2 \(.*{says}"):
        load(file)


def test_a_changed_weight_of_a_pt2_is_found(copy):
    file = copy("pt2.pt2")
    changed = io.BytesIO()
    with zipfile.ZipFile(file) as old, zipfile.ZipFile(changed, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            new.writestr(name, bytes(len(content)) if name.endswith("/weight_0") else content)
    file.write_bytes(changed.getvalue())
    with pytest.raises(ModelError, match="was changed after it was written"):
        load(file)


def test_a_python_file_is_not_run(copy, capsys):
    file = copy("python.py")
    before = load(file).predict(torch.ones(3, 1, 8, 8).byte())
    file.write_text("print('code from a file was run')")
    assert load(file).predict(torch.ones(3, 1, 8, 8).byte()) == before
    assert capsys.readouterr().out == ""
    file.with_suffix(".safetensors").unlink()
    with pytest.raises(ModelError, match=r"weights of .*python\.py are missing"):
        load(file)


def test_names_that_are_no_model(tmp_path):
    with pytest.raises(ModelError, match="there is no model file"):
        load(tmp_path / "nothing.onnx")
    (tmp_path / "model.pth").write_bytes(b"")
    with pytest.raises(ModelError, match=r"must end in \.safetensors, \.onnx"):
        load(tmp_path / "model.pth")
