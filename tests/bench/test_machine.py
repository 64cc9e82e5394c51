from importlib.metadata import PackageNotFoundError, version

import torch

from replaytree.bench import machine


def test_a_checkout_that_is_not_installed_has_no_version_and_hides_no_other(monkeypatch):
    def own(name):
        if name == "replaytree":
            raise PackageNotFoundError(name)
        return version(name)

    monkeypatch.setattr(machine, "version", own)
    found = machine.machine()
    assert found["replaytree"] == "not installed"
    assert found["torch"] == version("torch")
    assert torch.__version__.startswith(found["torch"].split("+")[0])
