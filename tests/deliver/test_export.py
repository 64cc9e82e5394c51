import os
import re
import runpy
import shutil
import site
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from replaytree.deliver.description import Accuracies
from replaytree.deliver.export import SUFFIX, export
from replaytree.deliver.load import load
from replaytree.deliver.weights import read_weights, weights_content, write_weights
from replaytree.errors import ConfigError, ModelError


def test_the_verification_is_that_of_the_validation_images(weights, digits, tmp_path):
    done = export(weights, tmp_path / "m.safetensors", form="safetensors", data=digits)
    network, _ = read_weights(weights)
    with torch.no_grad():
        right = (network(digits.val_images).argmax(dim=1) == digits.val_labels).float().mean()
    assert done.images == len(digits.val_labels) == 180
    assert done.model_accuracy == done.export_accuracy == pytest.approx(float(right))
    assert (done.differing_predictions, done.largest_difference) == (0, 0.0)
    assert done.text == "verified on 180 images: 0 predictions differ from PyTorch's, outputs within 0.0e+00"


@pytest.fixture(scope="module")
def exports(tmp_path_factory, weights, digits):
    """Every form with and without the mirror image, of a model whose images lie in a folder."""
    folder = tmp_path_factory.mktemp("exports")
    network, described = read_weights(weights)
    described = replace(
        described, data={"dataset": str(folder / "pictures"), "seed": 0}, plain=Accuracies(test=0.25),
        mirrored=Accuracies(test=0.5),
    )  # fmt: skip
    write_weights(folder / "source.safetensors", network, described)
    return {
        (form, mirror): export(
            folder / "source.safetensors", folder / f"m{mirror}{form}{suffix}", form=form, data=digits, mirror=mirror
        )
        for form, suffix in SUFFIX.items()
        for mirror in (False, True)
    }


@pytest.mark.parametrize("form", SUFFIX)
def test_the_mirror_image_is_in_an_export_only_where_asked_for(exports, weights, digits, form):
    network, described = read_weights(weights)
    images = digits.val_images[:20]
    with torch.no_grad():
        expected = {False: network(images), True: (network(images) + network(images.flip(3))) / 2}
    for mirror, reported in ((False, 0.25), (True, 0.5)):
        done = exports[form, mirror]
        model = load(done.files[0])
        torch.testing.assert_close(model.logits(images), expected[mirror], rtol=0, atol=1e-4)
        assert model.description.mirror == mirror
        assert model.description.test_accuracy == done.description.test_accuracy == reported
        assert done.description.flops == described.flops * (2 if mirror else 1)
        assert done.nbytes == sum(each.stat().st_size for each in done.files)
        if form == "python":
            own = runpy.run_path(str(done.files[0]))["load"]()
            with torch.no_grad():
                torch.testing.assert_close(own(images), expected[mirror])


def test_costs_are_said_against_the_limits_of_the_search(weights, digits, tmp_path):
    network, described = read_weights(weights)
    once = described.flops
    limited = replace(described, max_params=described.params, max_flops=once + 1)
    write_weights(tmp_path / "limited.safetensors", network, limited)
    plain = export(tmp_path / "limited.safetensors", tmp_path / "a.safetensors", form="safetensors", data=digits)
    assert plain.broken_limits == ()
    assert plain.cost == (
        f"{described.params:,} parameters (at most {described.params:,}), {once:,} multiply-adds an image "
        f"(at most {once + 1:,}), {(tmp_path / 'a.safetensors').stat().st_size:,} bytes"
    )
    mirrored = export(
        tmp_path / "limited.safetensors", tmp_path / "b.safetensors", form="safetensors", data=digits, mirror=True
    )
    assert mirrored.broken_limits == (
        f"{2 * once:,} multiply-adds an image are more than the search was limited to ({once + 1:,}); the mirror image "
        f"doubles them: leave out --mirror",
    )
    small = replace(described, max_ram=described.ram_bytes - 1, max_flash=described.flash_bytes)
    write_weights(tmp_path / "small.safetensors", network, small)
    done = export(tmp_path / "small.safetensors", tmp_path / "d.safetensors", form="safetensors", data=digits)
    assert done.broken_limits == (
        f"{small.ram_bytes:,} bytes of RAM are more than the search was limited to ({small.ram_bytes - 1:,})",
    )
    unlimited = export(weights, tmp_path / "c.safetensors", form="safetensors", data=digits, mirror=True)
    assert unlimited.broken_limits == ()
    assert "at most" not in unlimited.cost


def test_no_export_holds_a_path_of_this_machine(exports):
    files = [file for done in exports.values() for file in done.files]
    assert len(files) == 10
    places = {
        os.getcwd(), str(Path.home()), str(files[0].parent), str(Path(torch.__file__).parents[1]),
        str(Path(sys.modules["replaytree"].__file__).parents[1]), *site.getsitepackages(), "site-packages",
        "stack_trace", 'File "', "deployed.py",
    }  # fmt: skip
    for file in files:
        content = file.read_bytes()
        assert [place for place in places if len(place) > 1 and place.encode() in content] == []


def test_onnx_runs_with_onnxruntime_alone(exports, digits):
    import onnxruntime

    session = onnxruntime.InferenceSession(exports["onnx", False].files[0])
    for count in (1, 5):
        (logits,) = session.run(None, {"images": digits.val_images[:count].numpy()})
        assert logits.shape == (count, 10)
    metadata = session.get_modelmeta().custom_metadata_map
    assert metadata["classes"].split("\n") == list("0123456789")
    assert sorted(metadata) == ["classes", "images", "replaytree", "replaytree.sha256"]


@pytest.mark.parametrize("mirror", [False, True])
def test_onnx_is_folded_and_holds_little_beside_its_weights(exports, mirror):
    import onnx

    done = exports["onnx", mirror]
    graph = onnx.load(done.files[0]).graph
    operations = [node.op_type for node in graph.node]
    assert "BatchNormalization" not in operations
    # Five convolutions: one each of conv32k4 and conv32k3, three of res64s2, which projects.
    assert operations.count("Conv") == (10 if mirror else 5)
    notes = [each for each in (*graph.node, *graph.initializer) if each.metadata_props or each.doc_string]
    assert notes == []
    assert done.nbytes < 4 * done.description.params + 10_000


def test_pt2_runs_with_torch_alone(exports, weights, digits):
    module = torch.export.load(exports["pt2", False].files[0]).module()
    expected = load(weights).logits(digits.val_images[:5])
    torch.testing.assert_close(module(digits.val_images[:5]), expected)


def test_python_imports_nothing_of_replaytree(weights, digits, tmp_path):
    done = export(weights, tmp_path / "net.py", form="python", data=digits)
    assert [file.name for file in done.files] == ["net.py", "net.py.safetensors"]
    code = "import sys, net; net.load(); sys.exit(any(name.startswith('replaytree') for name in sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=False).returncode == 0
    module = runpy.run_path(str(tmp_path / "net.py"))
    assert module["CLASSES"] == digits.classes
    with torch.no_grad():
        logits = module["load"]()(digits.val_images[:9])
    torch.testing.assert_close(logits, load(weights).logits(digits.val_images[:9]))


@pytest.mark.parametrize("stem", ['a"""b', "back\\slash", "{x}", "new\nline", "\udcff"])
def test_a_python_export_of_any_name_runs(weights, digits, tmp_path, stem):
    done = export(weights, tmp_path / f"{stem}.py", form="python", data=digits)
    assert runpy.run_path(str(done.files[0]))["load"]() is not None


def test_no_two_formats_write_one_file(weights, digits, tmp_path):
    """All four of one stem, of which only the .py predicts the mirror image, too; each stays the model that it was."""
    written = [
        file
        for form, suffix in SUFFIX.items()
        for file in export(weights, tmp_path / f"net{suffix}", form=form, data=digits, mirror=form == "python").files
    ]
    assert sorted(written) == sorted(set(written)) == sorted(tmp_path.glob("net*"))
    assert {file.suffix: load(file).description.mirror for file in written[:-1]} == {
        ".onnx": False, ".pt2": False, ".safetensors": False, ".py": True,
    }  # fmt: skip
    assert load(written[-1]).description.mirror


def test_an_output_that_exists(weights, digits, tmp_path):
    for form, name in (("safetensors", "net.safetensors"), ("python", "net.py.safetensors")):
        file = tmp_path / name
        file.write_text("mine")
        out = file if form == "safetensors" else tmp_path / "net.py"
        with pytest.raises(ConfigError, match=rf"{re.escape(name)} exists; .*--force"):
            export(weights, out, form=form, data=digits)
        assert file.read_text() == "mine"
        export(weights, out, form=form, data=digits, force=True)
        assert load(out).classes == digits.classes


def test_a_model_is_not_exported_over_itself(weights, digits, tmp_path):
    """An export does not say where its images lie, so the model could be verified no more."""
    file = Path(shutil.copy(weights, tmp_path / "net.safetensors"))
    (tmp_path / "link.safetensors").symlink_to(file)
    for out in (file, tmp_path / "link.safetensors"):
        with pytest.raises(ConfigError, match="the model that is exported; choose another --out"):
            export(file, out, form="safetensors", data=digits, force=True)
    assert file.read_bytes() == weights.read_bytes()


@pytest.mark.parametrize("form", SUFFIX)
def test_names_of_another_kind(weights, digits, tmp_path, form):
    with pytest.raises(ConfigError, match=f"must end in \\{SUFFIX[form]}"):
        export(weights, tmp_path / "model.bin", form=form, data=digits)
    with pytest.raises(ConfigError, match="does not exist; make it"):
        export(weights, tmp_path / "nowhere" / f"m{SUFFIX[form]}", form=form, data=digits)


def test_an_export_that_does_not_equal_its_model_is_not_left_behind(weights, digits, tmp_path, monkeypatch):
    def wrong(network, description):
        with torch.no_grad():
            network.network.head.linear.bias[3] += 0.001
        content = weights_content(network, description)
        with torch.no_grad():
            network.network.head.linear.bias[3] -= 0.001
        return content

    monkeypatch.setattr(sys.modules["replaytree.deliver.export"], "weights_content", wrong)
    with pytest.raises(ModelError, match=r"differ by up to 1\.0e-03.*nothing was written"):
        export(weights, tmp_path / "m.safetensors", form="safetensors", data=digits)
    assert list(tmp_path.iterdir()) in ([], [tmp_path / "cache"])


def test_images_of_another_data_set(weights, digits, tmp_path):
    other = replace(digits, classes=tuple("abcdefghij"))
    with pytest.raises(ConfigError, match="not those of"):
        export(weights, tmp_path / "m.onnx", form="onnx", data=other)
