"""A small supernet, for tests of searches whose evaluator has a state."""

from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def supernet():
    """The class that the crash tests drive, too."""
    spec = spec_from_file_location("small_supernet", Path(__file__).parents[1] / "crash" / "small_supernet.py")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.SmallSupernet
