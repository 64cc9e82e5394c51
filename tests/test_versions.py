import re
import tomllib
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest

from replaytree import versions
from replaytree.bench.machine import machine
from replaytree.config import SearchConfig
from replaytree.search import assembly
from replaytree.versions import EXTRAS, lacks


def test_a_checkout_that_is_not_installed_has_no_version_and_hides_no_other(monkeypatch):
    def own(name):
        if name == "replaytree":
            raise PackageNotFoundError(name)
        return version(name)

    monkeypatch.setattr(versions, "version", own)
    for found in (machine(), assembly.versions(SearchConfig())):
        assert found["replaytree"] == "not installed"
    assert machine()["torch"] == version("torch")


def test_the_extras_are_those_of_the_package():
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
    declared = {
        name: {re.split(r"[\[>=]", each)[0] for each in needed}
        for name, needed in project["optional-dependencies"].items()
    }
    assert {name: set(extra.packages) for name, extra in EXTRAS.items()} == {
        name: packages for name, packages in declared.items() if name != "dev"
    }


@pytest.mark.parametrize(
    ("missing", "told"),
    [
        (["a"], "TFLite needs a, which is not installed; pip install 'replaytree[tflite]'"),
        (["a", "b"], "TFLite needs a and b, which are not installed; pip install 'replaytree[tflite]'"),
        (["a", "b", "c"], "TFLite needs a, b and c, which are not installed; pip install 'replaytree[tflite]'"),
    ],
)
def test_what_is_missing_in_words(missing, told):
    assert lacks("tflite", missing) == told
