"""`retrain` and `predict` on texts, as people type them."""

import json

import pytest

LINES = "the cat sat\na dog ran on the mat\n" * 30


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("texts")
    for part in ("train", "valid", "test"):
        (folder / f"{part}.txt").write_text(LINES, encoding="utf-8")
    return folder


@pytest.fixture
def weights(replaytree, model, tmp_path):
    code, out, err = replaytree(
        "retrain", "--dataset", model, "--path", "tanh", "--hidden", 4, "--epochs", 1, "--bptt", 5, "--out", tmp_path,
        "--storage", f"sqlite:///{tmp_path}/a.db",
    )  # fmt: skip
    assert (code, err) == (0, "")
    assert "the perplexity is that of the test words" in out
    assert "test perplexity: mean" in out
    assert "FILES..." in out
    (found,) = tmp_path.glob("*.safetensors")
    return found


def test_predictions_of_text(replaytree, weights, model, tmp_path):
    code, out, err = replaytree("predict", weights, "--text", "the zebra", "-k", 2, "--format", "json")
    rows = json.loads(out)
    assert (code, [row["rank"] for row in rows]) == (0, [1, 2])
    assert rows[0]["probability"] >= rows[1]["probability"] > 0.0
    assert err == "note: 1 word of the text is not in the vocabulary: <unk>\n"
    code, out, err = replaytree("predict", weights, model / "test.txt")
    assert (code, err) == (0, "")
    assert out.split()[:3] == ["file", "perplexity", "words"]
    # Of 60 lines with 10 line ends and words in two, but of the first.
    assert out.split()[-1] == str(30 * 11 - 1)
    empty = tmp_path / "empty.txt"
    empty.write_text("\n")
    code, out, err = replaytree("predict", weights, model / "test.txt", empty)
    assert (code, "the text is empty" in err, "1 of 2 texts cannot be read" in err) == (1, True, True)
    picture = tmp_path / "a.png"
    picture.write_bytes(b"\x89PNG")
    for arguments, why in (
        ((picture,), "it is a picture by its name, and this is a model of text"),
        ((), "give either text files or --text"),
        (("--text", ""), "the text is empty"),
        (("--text", "the", empty), "give either text files or --text"),
    ):
        code, _, err = replaytree("predict", weights, *arguments)
        assert (code, why in err, "Traceback" in err) == (2, True, False)


def test_text_in_8_bits_is_refused_and_nothing_is_written(replaytree, weights, tmp_path):
    for form, name in (("onnx-int8", "a.onnx"), ("tflite", "a.tflite")):
        for more in ((), ("--accept-drop", "--max-drop", 1)):
            code, out, err = replaytree("export", weights, "--format", form, "--out", tmp_path / name, *more)
            assert (code, out) == (2, "")
            assert err == (
                f"Error: --format {form} is for models of images, and {weights} is one of text; choose --format onnx, "
                f"which is in float\n"
            )
            assert not (tmp_path / name).exists()
    assert replaytree("export", weights, "--out", tmp_path / "a.onnx")[0] == 0
