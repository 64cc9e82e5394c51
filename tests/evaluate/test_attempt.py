import contextlib
import gc
import json
import subprocess
import sys
import weakref

import pytest
import torch

from replaytree.evaluate.attempt import Failure, attempt

# A process that may have 450 MiB more than after its first training. The wide path needs more than 500 MiB for a batch
# of 128 images, and less than 350 for one of 16. The huge one has weights of 4.7 GiB. The estimate is switched off, so
# that memory really runs out. What is limited is data, not addresses: threads reserve those by whole arenas, at random.
SCRIPT = """
import json, resource
import torch
from replaytree.config import Budget
from replaytree.data import load_data
from replaytree.evaluate import JointEvaluator
from replaytree.training import Recipe
from replaytree.space import Convolution, LayerSpace, Pooling

layers = [Convolution(4, 3), Convolution(4096, 1), Pooling("max", 2, 2), Convolution(12000, 5)]
space = LayerSpace(layers, input_shape=(1, 8, 8), num_classes=10, max_layers=3)
data = load_data("digits", train_limit=128)
evaluator = JointEvaluator(space, data, recipe=Recipe(batch_size=128), device=torch.device("cpu"), memory_bytes=2**50)
evaluator.evaluate([(0, 2)], budget=Budget(1), seed=0)
pages = int(open("/proc/self/statm").read().split()[5])
resource.setrlimit(resource.RLIMIT_DATA, (pages * resource.getpagesize() + 450 * 2**20,) * 2)
results = evaluator.evaluate([(1, 2), (0, 2), (1, 3), (0, 0)], budget=Budget(1), seed=0)
print(json.dumps([[result.failure, len(result.accuracies), result.failure_text] for result in results]))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="limits memory as Linux does")
def test_when_memory_runs_out_the_search_goes_on():
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    wide, small, huge, other = json.loads(done.stdout)
    assert small[:2] == other[:2] == [None, 2]
    assert huge[:2] == ["out_of_memory", 0]
    assert "can't allocate memory" in huge[2]
    assert wide[:2] == [None, 2]
    assert "out of memory with batches of 128 images; trying 64" in done.stderr


def test_a_failed_training_lets_its_memory_go_at_once():
    held = []

    def train():
        weights = torch.zeros(3)
        held.append(weakref.ref(weights))
        raise MemoryError("no more")

    gc.disable()
    try:
        assert attempt(train, seed=0, device=torch.device("cpu")) == Failure("out_of_memory", "no more")
        assert held[0]() is None
    finally:
        gc.enable()


GPU = torch.device("cuda:1")


@pytest.fixture
def gpu(monkeypatch):
    """A GPU whose earlier trainings hold memory until it is asked back; what was called."""
    calls, module = [], sys.modules["replaytree.evaluate.attempt"]
    held = [True]

    def release(device):
        calls.append(f"release {device}")
        held[0] = False

    @contextlib.contextmanager
    def on(device):
        calls.append(f"on {device}")
        yield

    monkeypatch.setattr(module, "holds_memory", lambda device: held[0])
    monkeypatch.setattr(module, "release_memory", release)
    monkeypatch.setattr(module, "on", on)
    monkeypatch.setattr(torch.random, "fork_rng", lambda devices: contextlib.nullcontext())
    return calls


def test_what_fits_does_not_depend_on_what_was_trained_before(gpu):
    def train():
        gpu.append("train")
        if gpu.count("train") == 1:
            raise torch.OutOfMemoryError("full of graphs")
        return 0.5

    assert attempt(train, seed=0, device=GPU) == 0.5
    assert gpu == ["on cuda:1", "train", "release cuda:1", "on cuda:1", "train"]


def test_what_never_fits_is_tried_twice_and_its_memory_given_back(gpu):
    def train():
        gpu.append("train")
        raise torch.OutOfMemoryError("too large")

    assert attempt(train, seed=0, device=GPU) == Failure("out_of_memory", "too large")
    assert gpu.count("train") == 2
    assert gpu[-1] == "release cuda:1"


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_after_a_lack_of_memory_a_gpu_trains_on():
    device = torch.device("cuda:0")

    def train():
        torch.zeros(2**60, device=device)

    failure = attempt(train, seed=0, device=device)
    assert (failure.kind, attempt(lambda: 1, seed=0, device=device)) == ("out_of_memory", 1)
