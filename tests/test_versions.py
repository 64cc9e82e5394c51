from importlib.metadata import PackageNotFoundError, version

from replaytree import versions
from replaytree.bench.machine import machine
from replaytree.config import SearchConfig
from replaytree.search import assembly


def test_a_checkout_that_is_not_installed_has_no_version_and_hides_no_other(monkeypatch):
    def own(name):
        if name == "replaytree":
            raise PackageNotFoundError(name)
        return version(name)

    monkeypatch.setattr(versions, "version", own)
    for found in (machine(), assembly.versions(SearchConfig())):
        assert found["replaytree"] == "not installed"
    assert machine()["torch"] == version("torch")
