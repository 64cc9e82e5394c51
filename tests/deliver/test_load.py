"""Reading model files back, and files that were tampered with: a clear error, and no code is run."""

import hashlib
import io
import json
import os
import pickle
import random
import re
import shutil
import struct
import subprocess
import sys
import zipfile

import pytest
import torch

from replaytree.deliver.export import SUFFIX, export
from replaytree.deliver.load import load
from replaytree.deliver.weights import read_weights, write_weights
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


def resealed(file, content):
    """Write what an attacker would: changed content under a digest of its own."""
    if file.suffix == ".pt2":
        content = content[:-64]
        file.write_bytes(content + hashlib.sha256(content + b"0" * 64).hexdigest().encode())
        return
    found = DIGEST.search(content).group(1)
    content = content.replace(found, b"0" * 64)
    file.write_bytes(content.replace(b"0" * 64, hashlib.sha256(content).hexdigest().encode()))


DIGEST = re.compile(rb"replaytree\.sha256.{2,4}?([0-9a-f]{64})", re.DOTALL)


def changed_zip(file, change):
    """The pt2 with `change(name, content)` for the content of each part, sealed anew."""
    new = io.BytesIO()
    with zipfile.ZipFile(file) as old, zipfile.ZipFile(new, "w") as archive:
        for name in old.namelist():
            archive.writestr(name, change(name, old.read(name)))
        archive.comment = b"0" * 64
    resealed(file, new.getvalue())


def test_every_changed_bit_of_every_form_is_found(copy):
    for name in ("onnx.onnx", "pt2.pt2", "safetensors.safetensors"):
        file = copy(name)
        content = file.read_bytes()
        rng = random.Random(0)
        places = [rng.randrange(len(content)) for _ in range(60)] + [0, 1, len(content) - 1, len(content) - 65]
        for place in places:
            changed = bytearray(content)
            changed[place] ^= 1 << rng.randrange(8)
            file.write_bytes(changed)
            with pytest.raises(ModelError, match=re.escape(str(file))):
                load(file)


def test_the_graph_of_a_pt2_is_not_used(copy, digits):
    """Its weights and description are; a graph that was changed and sealed anew has no say."""
    file = copy("pt2.pt2")
    before = load(file).logits(digits.val_images)
    changed_zip(file, lambda name, content: b"import os" if "/models/" in name else content)
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


def test_weights_of_another_architecture(copy):
    file = copy("safetensors.safetensors")
    rewritten(
        file, lambda metadata: metadata.update(replaytree=metadata["replaytree"].replace('"kernel": 4', '"kernel": 5'))
    )
    resealed(file, file.read_bytes())
    with pytest.raises(ModelError, match="are of another architecture"):
        load(file)


def test_weights_without_a_description(tmp_path):
    from safetensors.torch import save_file

    save_file({"weight": torch.zeros(3)}, tmp_path / "other.safetensors")
    with pytest.raises(ModelError, match="without replaytree's description"):
        load(tmp_path / "other.safetensors")


def test_a_pt2_with_a_pickle_in_it_is_not_unpickled(copy, capsys):
    def change(name, content):
        if "/weight_" in name or name.endswith(".pt"):
            return pickle.dumps(Bomb())
        return content.replace(b'"use_pickle": false', b'"use_pickle": true')

    file = copy("pt2.pt2")
    changed_zip(file, change)
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


@pytest.mark.parametrize(("place", "value", "says"), [(8, 1, "password"), (10, 77, "compress")])
def test_a_pt2_that_zipfile_cannot_unpack(copy, place, value, says):
    """The flags stand at byte 8 of an entry of the central directory, the way of compression at byte 10."""
    file = copy("pt2.pt2")
    content = bytearray(file.read_bytes())
    entry = content.find(b"PK\x01\x02")
    while entry >= 0:
        content[entry + place] |= value
        entry = content.find(b"PK\x01\x02", entry + 4)
    resealed(file, bytes(content))
    with pytest.raises(ModelError, match=rf"cannot be read as replaytree's pt2 \(.*{says}"):
        load(file)


def test_a_python_file_is_not_run(copy, capsys):
    file = copy("python.py")
    before = load(file).predict(torch.ones(3, 1, 8, 8).byte())
    file.write_text("print('code from a file was run')")
    assert load(file).predict(torch.ones(3, 1, 8, 8).byte()) == before
    assert capsys.readouterr().out == ""
    file.with_name("python.py.safetensors").unlink()
    with pytest.raises(ModelError, match=r"weights of .*python\.py are missing"):
        load(file)


def test_names_that_are_no_model(tmp_path):
    with pytest.raises(ModelError, match="there is no model file"):
        load(tmp_path / "nothing.onnx")
    (tmp_path / "model.pth").write_bytes(b"")
    with pytest.raises(ModelError, match=r"must end in \.safetensors, \.onnx"):
        load(tmp_path / "model.pth")


def described_as(file, **layer):
    """The safetensors file with its first layer described otherwise, sealed anew."""

    def change(metadata):
        values = json.loads(metadata["replaytree"])
        values["graph"]["nodes"][0]["layer"] |= layer
        metadata["replaytree"] = json.dumps(values)

    rewritten(file, change)
    resealed(file, file.read_bytes())


@pytest.mark.parametrize(
    ("channels", "message"),
    [
        (2**20, "parameters and has .* bytes, too few for them"),
        (2**40, "does not describe a replaytree model .*channels of a Convolution is more than"),
        (10**60, "does not describe a replaytree model .*channels of a Convolution is more than"),
    ],
)
def test_a_small_file_that_describes_a_large_network(copy, channels, message):
    file = copy("safetensors.safetensors")
    described_as(file, channels=channels, width=1.0)
    with pytest.raises(ModelError, match=message):
        load(file)


def test_a_file_that_goes_on_after_its_weights(copy):
    """Refused by its size: what follows is never read."""
    file = copy("safetensors.safetensors")
    with file.open("r+b") as stream:
        stream.truncate(2**40)
    with pytest.raises(ModelError, match=r"it has 1099511627776 bytes, which is not what its header says"):
        load(file)


def test_a_safetensors_header_that_claims_more_than_there_is(copy):
    file = copy("safetensors.safetensors")
    content = file.read_bytes()
    for length in (2**63, 2**40, len(content)):
        file.write_bytes(struct.pack("<Q", length) + content[8:])
        with pytest.raises(ModelError, match="cannot be read as safetensors"):
            load(file)
    header = b"[" * 100_000
    file.write_bytes(struct.pack("<Q", len(header)) + header)
    with pytest.raises(ModelError, match="nested too deeply"):
        load(file)


def test_a_pt2_that_unpacks_to_more_than_it_is(copy):
    file = copy("pt2.pt2")
    new = io.BytesIO()
    with zipfile.ZipFile(file) as old, zipfile.ZipFile(new, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in old.namelist():
            archive.writestr(name, bytes(2**24) if name.endswith("/weight_0") else old.read(name))
        archive.comment = b"0" * 64
    resealed(file, new.getvalue())
    with pytest.raises(ModelError, match="compressed or larger than the file"):
        load(file)


def changed_onnx(file, change):
    import onnx

    proto = onnx.load(file)
    change(proto)
    resealed(file, proto.SerializeToString())


def large_constant(proto):
    from onnx import helper

    proto.graph.node.insert(0, helper.make_node("ConstantOfShape", ["large"], ["huge"]))
    proto.graph.initializer.append(helper.make_tensor("large", 7, [3], [10**4, 10**4, 10**3]))


def declared_tensor(proto):
    proto.graph.initializer[0].dims[0] = 10**9


def external_tensor(proto):
    tensor = proto.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = 1
    tensor.external_data.add(key="location", value="/etc/passwd")


def padding(proto):
    node = next(node for node in proto.graph.node if node.op_type == "Conv")
    next(each for each in node.attribute if each.name == "pads").ints[:] = [10**5] * 4


def loop(proto):
    from onnx import helper

    proto.graph.node.insert(0, helper.make_node("Loop", ["", ""], ["x"], body=helper.make_graph([], "b", [], [])))


@pytest.mark.parametrize("change", [large_constant, declared_tensor, external_tensor, padding, loop])
def test_an_onnx_file_that_asks_for_more_than_its_layers_need(copy, change):
    file = copy("onnx.onnx")
    load(file)
    changed_onnx(file, change)
    with pytest.raises(ModelError, match=r"cannot be read as ONNX \(.*(replaytree writes|tensor|values an image)"):
        load(file)


def test_what_is_refused_takes_no_memory(copy):
    """In a process of its own that may take 300 MiB more than it has; the large ones ask for over 4 GiB."""
    file = copy("safetensors.safetensors")
    described_as(file, channels=2**20, width=1.0)
    changed_onnx(file.with_name("onnx.onnx"), large_constant)
    code = f"""
import resource, onnx, onnxruntime
from replaytree import load
from replaytree.errors import ModelError
used = int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 300 * 2**20, used + 300 * 2**20))
for name in ("safetensors.safetensors", "onnx.onnx"):
    try:
        load({str(file.parent)!r} + "/" + name)
    except ModelError as error:
        assert "memory" not in str(error), error
        print("refused")
"""
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert found.stdout.split() == ["refused", "refused"], found.stderr


@pytest.mark.parametrize("suffix", [".onnx", ".pt2", ".safetensors", ".py"])
def test_what_is_no_file(tmp_path, suffix):
    folder, pipe, link = (tmp_path / f"{name}{suffix}" for name in ("folder", "pipe", "link"))
    folder.mkdir()
    os.mkfifo(pipe)
    link.symlink_to(tmp_path / "nothing")
    for file, message in (
        (folder, "is a folder"), (pipe, "not a regular file"), (link, "there is no model file"),
        (tmp_path / f"{'n' * 300}{suffix}", "File name too long"),
        (tmp_path / f"\udcff{suffix}", "there is no model file"),
    ):  # fmt: skip
        with pytest.raises(ModelError, match=message):
            load(file)


@pytest.mark.parametrize("suffix", [".onnx", ".pt2", ".safetensors"])
def test_a_huge_file_is_not_read(tmp_path, suffix):
    with (tmp_path / f"m{suffix}").open("wb") as stream:
        stream.truncate(2**40)
    with pytest.raises(ModelError, match=rf"m\{suffix}"):
        load(tmp_path / f"m{suffix}")


def test_a_name_that_is_not_utf_8(copy):
    file = copy("safetensors.safetensors")
    other = file.with_name("\udcff.safetensors")
    file.rename(other)
    assert load(other).classes == tuple("0123456789")


def test_weights_that_are_no_numbers_predict_nothing(tmp_path, weights, digits):
    network, description = read_weights(weights)
    with torch.no_grad():
        network.network.head.linear.bias[0] = float("nan")
    write_weights(tmp_path / "m.safetensors", network, description)
    with pytest.raises(ModelError, match="not finite numbers"):
        load(tmp_path / "m.safetensors").predict(digits.val_images)
