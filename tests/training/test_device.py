import logging
from types import SimpleNamespace

import pytest
import torch

from replaytree.errors import ConfigError
from replaytree.training import available_devices, resolve_device, why_no_gpu
from replaytree.training.device import on, usable_bytes


def test_auto_is_the_first_available_and_the_cpu_is_always_there():
    assert resolve_device("auto") == torch.device(available_devices()[0])
    assert available_devices()[-1] == "cpu"
    assert resolve_device("cpu") == torch.device("cpu")


@pytest.mark.parametrize("name", ["cuda:99", "gpu", ""])
def test_a_device_that_is_not_there_names_those_that_are(name):
    with pytest.raises(ConfigError, match=rf"device is {name!r}, which is not here.*; this machine has .*cpu"):
        resolve_device(name)


OLD = "The NVIDIA driver on your system is too old (found version 11040). Please update your GPU driver by downloading"
NONE = "Found no NVIDIA driver on your system. Please check that you have an NVIDIA GPU"


def no_gpu(monkeypatch, text):
    def init():
        raise RuntimeError(text)

    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    monkeypatch.setattr(torch.cuda, "init", init)


def test_a_driver_too_old_for_the_build_of_torch_says_so(monkeypatch, caplog):
    no_gpu(monkeypatch, OLD)
    assert why_no_gpu() == "The NVIDIA driver on your system is too old (found version 11040)"
    for name in ("cuda", "cuda:0"):
        with pytest.raises(ConfigError, match=rf"{name}', which is not here \(The NVIDIA driver .* too old \(found .*"):
            resolve_device(name)
    assert resolve_device("auto") == torch.device("cpu")
    assert caplog.messages == [
        "no GPU can be used (The NVIDIA driver on your system is too old (found version 11040)); trainings run on the "
        "CPU"
    ]


def test_a_machine_without_a_gpu_is_no_warning(monkeypatch, caplog):
    no_gpu(monkeypatch, NONE)
    with caplog.at_level(logging.DEBUG):
        assert resolve_device("auto") == resolve_device("cpu") == torch.device("cpu")
    assert not caplog.records


def gpus(monkeypatch, capability, built, count=2):
    monkeypatch.setattr(torch.version, "hip", None)
    for name, value in {
        "device_count": lambda: count,
        "get_device_capability": lambda device: capability,
        "get_device_name": lambda device: "Old Card",
        "get_arch_list": lambda: built,
        "get_device_properties": lambda device: SimpleNamespace(total_memory=1000),
    }.items():
        monkeypatch.setattr(torch.cuda, name, value)


@pytest.mark.parametrize(
    ("capability", "built"),
    [
        ((9, 0), ["sm_80", "sm_90", "compute_120"]),
        ((8, 6), ["sm_80"]),
        ((12, 0), ["sm_75", "compute_90"]),
        ((9, 0), ["sm_90a"]),
        ((10, 3), ["sm_100"]),
    ],
)
def test_a_gpu_that_torch_has_code_for(monkeypatch, capability, built):
    gpus(monkeypatch, capability, built)
    assert resolve_device("cuda:1") == torch.device("cuda:1")
    assert resolve_device("auto") == torch.device("cuda:0")


@pytest.mark.parametrize(("capability", "built"), [((6, 1), ["sm_75", "compute_120"]), ((8, 0), ["sm_86"])])
def test_a_gpu_too_old_for_the_build_of_torch_says_so(monkeypatch, capability, built):
    gpus(monkeypatch, capability, built)
    with pytest.raises(
        ConfigError, match=r"no code for Old Card \(capability \d\.\d; it begins at [78]\.[56]\); install"
    ):
        resolve_device("cuda:0")


def test_the_memory_of_a_gpu_is_shared_by_its_workers(monkeypatch):
    gpus(monkeypatch, (9, 0), ["sm_90"])
    assert usable_bytes(torch.device("cuda:0")) == 800
    assert usable_bytes(torch.device("cuda:0"), share=0.25) == 200
    whole = usable_bytes(torch.device("cpu"))
    assert usable_bytes(torch.device("cpu"), share=0.5) == whole // 2


@pytest.mark.gpu
@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two CUDA devices")
def test_a_gpu_is_current_meanwhile():
    with on(torch.device("cuda:1")):
        assert torch.cuda.current_device() == 1
    assert torch.cuda.current_device() == 0
