"""What is meant by a path that does not exist."""

from pathlib import Path

import pytest

from replaytree.sources.names import did_you_mean, near_path


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "models").mkdir()
    for name in ("digits.onnx", "digits.txt", "other.onnx"):
        (tmp_path / "models" / name).touch()
    return tmp_path


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("models/digts.onnx", "models/digits.onnx"),
        ("modells/other.onnx", "models/other.onnx"),
        ("modells", "models"),
        ("models/weather.pt2", None),
        ("modells/weather.pt2", None),
        ("elsewhere/other.onnx", None),
    ],
)
def test_a_path_that_is_there_under_almost_the_name(folder, given, meant):
    found = near_path(folder / given)
    assert found == (None if meant is None else folder / meant)
    assert did_you_mean(folder / given) == ("" if meant is None else f"; did you mean {folder / meant}?")


def test_only_what_fits_is_meant(folder):
    assert near_path(folder / "models" / "digits.on", lambda each: each.suffix == ".txt").name == "digits.txt"
    assert near_path(folder / "models" / "digits.on", lambda each: each.suffix == ".py") is None


def test_a_relative_path_stays_relative(folder, monkeypatch):
    monkeypatch.chdir(folder)
    assert near_path(Path("model/other.onnx")) == Path("models/other.onnx")
    # That exists, so that nothing else is meant.
    assert near_path(Path("models/other.onnx")) is None
