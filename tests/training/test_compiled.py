"""Networks that torch compiles. On a CPU that takes a C++ compiler, and some seconds."""

import copy
import os
import shutil
import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from torch import nn

from replaytree.data import ImageData
from replaytree.data.images import Labelled
from replaytree.networks.trie import SingleHead
from replaytree.training.loop import Training
from replaytree.training.recipe import Recipe

RECIPE = Recipe(batch_size=8, crop_padding=1, average_share=0.3, compile=True)


class Network(nn.Sequential):
    """It draws from torch's global generator in every step, and its ReLU is in place."""

    capturable = True

    def __init__(self):
        super().__init__(
            nn.Conv2d(1, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU(inplace=True), nn.Dropout(0.5),
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 2),
        )  # fmt: skip


def begun(recipe, *, device="cpu", epochs=3):
    images = torch.randint(256, (30, 1, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    part = Labelled(("a", "b"), images, torch.arange(30) % 2)
    data = ImageData.from_parts("few", train=part, val=part, crop_padding=0, flip=False).to(device)
    torch.manual_seed(0)
    return Training(SingleHead(Network()), data, epochs=epochs, recipe=recipe, seed=3)


def trained(recipe, *, device="cpu"):
    training = begun(recipe, device=device)
    torch.manual_seed(1)
    training.run(until=3)
    return training


def compiled_graphs():
    return torch._dynamo.utils.counters["stats"]["unique_graphs"]


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("c++") is None, reason="needs a C++ compiler")
def test_a_compiled_training_is_the_eager_one_within_rounding_and_can_be_resumed():
    before = compiled_graphs()
    whole = trained(RECIPE)
    assert compiled_graphs() > before
    eager = trained(replace(RECIPE, compile=False))
    for kind in ("network", "average"):
        torch.testing.assert_close(whole.state_dict()[kind], eager.state_dict()[kind], rtol=1e-4, atol=1e-6)
    assert whole.loss == pytest.approx(eager.loss)
    first = begun(RECIPE)
    torch.manual_seed(1)
    first.run(until=1)
    stored = copy.deepcopy(first.state_dict())
    resumed = begun(RECIPE)
    resumed.load_state_dict(stored)
    resumed.run(until=3)
    torch.testing.assert_close(resumed.state_dict()["average"], whole.state_dict()["average"], rtol=0.0, atol=0.0)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_compiled_step_is_captured_once_it_is_compiled():
    compiled, eager = (trained(replace(RECIPE, compile=compile), device="cuda") for compile in (True, False))
    assert compiled.captured
    assert abs(compiled.loss - eager.loss) < 0.02
    for one, other in zip(compiled.trained.parameters(), eager.trained.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=0.1, atol=0.02)


@pytest.mark.slow
def test_a_machine_without_a_compiler_says_so_in_one_line(tmp_path):
    words = "retrain --dataset digits --train-limit 64 --epochs 1 --width 0.25 --path conv32k3 --quiet --compile"
    found = subprocess.run(
        [sys.executable, "-m", "replaytree.cli", *words.split()], cwd=tmp_path, capture_output=True, text=True,
        timeout=300, check=False,
        env={**os.environ, "CXX": "no-such-compiler", "TORCHINDUCTOR_CACHE_DIR": str(tmp_path), "CUDA_HOME": ""},
    )  # fmt: skip
    assert found.returncode == 2, found.stderr
    line = found.stderr.splitlines()[-1]
    assert line.startswith("Error: torch cannot compile the network here (InvalidCxxCompiler: No working C++ compiler")
    assert line.endswith("leave out --compile, or install what is missing: a C++ compiler, and for a GPU Triton, too")
    assert "Traceback" not in found.stderr
