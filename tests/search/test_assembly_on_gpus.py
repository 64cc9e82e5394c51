from functools import partial
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from replaytree import Search
from replaytree.config import SearchConfig
from replaytree.data import load_data
from replaytree.errors import ConfigError
from replaytree.evaluate import RayCluster, WorkerOptions
from replaytree.search import assembly, workforce
from replaytree.search.assembly import default_evaluator, versions
from replaytree.search.searched_space import default_space
from replaytree.search.workforce import workers_for
from replaytree.space import Convolution, CustomLayer, LayerSpace
from replaytree.training.device import usable_bytes


@pytest.fixture(scope="module")
def digits():
    return load_data("digits", train_limit=100)


def gpu(monkeypatch, capability):
    monkeypatch.setattr(torch.version, "hip", None)
    for name, value in {
        "device_count": lambda: 2,
        "get_device_name": lambda device: f"Card {torch.device(device).index}",
        "get_device_capability": lambda device: capability,
        "get_arch_list": lambda: ["sm_60", "compute_60"],
        "get_device_properties": lambda device: SimpleNamespace(total_memory=2**40, name="Card"),
    }.items():
        monkeypatch.setattr(torch.cuda, name, value)


def test_a_search_records_the_device_that_it_trains_on_and_its_precision(monkeypatch):
    found = versions(SearchConfig(device="cpu"))
    assert (found["device"], found["precision"]) == ("cpu", "float32")
    gpu(monkeypatch, (7, 5))
    found = versions(SearchConfig(device="cuda:1"))
    assert (found["device"], found["precision"]) == ("Card 1", "float16 with scaled losses")
    assert versions(SearchConfig(device="cpu"))["device"] == "cpu"
    assert versions(SearchConfig(device="cuda:7"))["device"] == "cuda:7 of the workers"


def test_doctor_says_what_each_gpu_trains_in(monkeypatch):
    from replaytree.cli.doctor import _devices

    monkeypatch.setattr("replaytree.cli.doctor.can_fuse", lambda device: device.index == 1)
    for own, told in (
        (False, ""),
        (True, " and has bfloat16 (retrain --precision bfloat16: faster for wide networks)"),
    ):
        monkeypatch.setattr("replaytree.cli.doctor.cpu_has_bfloat16", lambda own=own: own)
        [found] = _devices()
        assert f"trains in float32{told}; no CUDA GPU: " in found.found
    gpu(monkeypatch, (9, 0))
    [found] = _devices()
    assert "cuda:1 (" in found.found
    assert found.found.count("GiB, trains in bfloat16, batch norm and ReLU ") == 2
    assert "ReLU apart), cuda:1" in found.found
    assert found.found.endswith("ReLU fused)")


def test_rays_workers_plan_with_their_share_of_the_memory(monkeypatch, digits):
    made = []
    for crew in ("RayCrew", "ProcessCrew"):
        monkeypatch.setattr(workforce, crew, lambda where, make, parts: made.append(make))
    config = SearchConfig(device="cpu", max_layers=2)
    make = partial(default_evaluator, space=default_space(config, digits), data=digits)
    given = {"evaluator": None, "make": make, "parts": {}, "tree": None}
    workers_for(WorkerOptions(4, "local"), RayCluster(4, 0.0, "4 CPUs", memory_share=0.25), config, **given)
    separate = config.with_options(evaluator="separate")
    workers_for(WorkerOptions(4, "local"), RayCluster(4, 0.0, "4 CPUs"), separate, **given)
    workers_for(WorkerOptions(2), None, config, **given)
    joint, separate, half = (make() for make in made)
    assert joint._memory_bytes == usable_bytes(torch.device("cpu"), share=0.25)
    assert type(separate).__name__ == "SeparateEvaluator"
    assert half._memory_bytes == usable_bytes(torch.device("cpu"), share=0.5)
    assert (half._threads.most, half._threads.fixed) == (1, True)


def own(**options):
    layer = CustomLayer("mine", lambda shape: nn.ReLU(), lambda shape: shape, lambda shape: (0, 0), **options)
    return LayerSpace([Convolution(4, 3), layer], input_shape=(1, 8, 8), num_classes=10, max_layers=2)


def test_captured_steps_are_refused_for_layers_of_ones_own_that_may_wait(digits):
    with pytest.raises(
        ConfigError, match=r"layer 'mine' is one of your own .*CustomLayer\(\.\.\., capturable=True\).*--"
    ):
        Search(storage="sqlite://", space=own(), data=digits, capture=True)
    for space, options in ((own(), {}), (own(), {"capture": False}), (own(capturable=True), {"capture": True})):
        Search(storage="sqlite://", space=space, data=digits, **options)


def test_a_search_stores_the_batch_that_its_device_has(monkeypatch, digits):
    search = Search(storage="sqlite://", data=digits, max_layers=2)
    assert (search.config.recipe.batch_size, search.config.recipe.learning_rate) == (64, 0.1)
    asked = []
    monkeypatch.setattr(assembly, "with_batches", lambda config, **named: asked.append(named) or config)
    monkeypatch.setattr(workforce, "connect", lambda *_, **__: RayCluster(1, 1.0, "1 GPU"))
    monkeypatch.setattr(workforce, "RayCrew", lambda cluster, make, parts: None)
    Search(storage="sqlite://", data=digits, max_layers=2, workers=1, ray_address="local")
    assert asked == [{"device": "cuda", "images": len(digits.train_labels), "normed": True}]


def test_what_is_stored_is_kept_on_another_device(tmp_path, monkeypatch):
    storage = str(tmp_path / "tree.db")
    Search(name="kept", storage=storage, dataset="digits", train_limit=100, max_layers=2)
    monkeypatch.setattr(assembly, "with_batches", None)
    again = Search.resume("kept", storage=storage)
    assert (again.config.recipe.batch_size, again.config.recipe.learning_rate) == (64, 0.1)
