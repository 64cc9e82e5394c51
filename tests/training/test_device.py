import pytest
import torch

from replaytree.errors import ConfigError
from replaytree.training import available_devices, resolve_device


def test_auto_is_the_first_available_and_the_cpu_is_always_there():
    assert resolve_device("auto") == torch.device(available_devices()[0])
    assert available_devices()[-1] == "cpu"
    assert resolve_device("cpu") == torch.device("cpu")


@pytest.mark.parametrize("name", ["cuda:99", "gpu", ""])
def test_a_device_that_is_not_there_names_those_that_are(name):
    with pytest.raises(ConfigError, match=rf"device is {name!r}, which is not here; this machine has .*cpu"):
        resolve_device(name)
