"""The kernels, on a GPU or, where there is none, interpreted by Triton in a process of its own."""

import os
from contextlib import nullcontext

import pytest
import torch
from torch.nn import functional

pytest.importorskip("triton")

INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
GPU = torch.cuda.is_available()
DEVICE = torch.device("cuda" if GPU and not INTERPRETED else "cpu")
runs = pytest.mark.skipif(not (GPU or INTERPRETED), reason="test_all_is_right_where_triton_interprets runs it")
gpu = pytest.mark.gpu if GPU else lambda test: test

# Channels that are no power of two or wider than a tile; cells of few, many and more than 32 pixels; one cell alone;
# more cells than a program takes.
CASES = [
    *(((3, 12, 8, 8), (4, 4), torch.float32), ((2, 33, 6, 9), (2, 3), torch.float32)),
    *(((1, 200, 16, 16), (2, 2), torch.float32), ((1, 32, 28, 28), (4, 4), torch.float32)),
    *(((5, 8, 4, 4), (1, 1), torch.float32), ((1, 20, 7, 7), (1, 1), torch.float32)),
    *(((2, 128, 4, 4), (2, 2), torch.bfloat16), ((2, 64, 4, 12), (2, 2), torch.float16)),
]
TOLERANCES = {torch.float32: 1e-6, torch.float16: 1e-3, torch.bfloat16: 8e-3}


def numbers(shape, dtype, seed):
    generator = torch.Generator().manual_seed(seed)
    made = torch.randn(shape, generator=generator).to(dtype).to(DEVICE)
    return made.contiguous(memory_format=torch.channels_last)


def apart(found, wanted):
    return ((found.double() - wanted).norm() / wanted.norm()).item()


@gpu
@runs
@pytest.mark.parametrize(("shape", "grid", "dtype"), CASES)
def test_averages_and_the_gradients_of_all_that_is_used_are_those_of_torch(shape, grid, dtype):
    from replaytree.training.pool_kernels import Tap

    x = numbers(shape, dtype, 0).requires_grad_()
    exact = x.detach().double().requires_grad_()
    same, cells = Tap.apply(x, *grid)
    wanted = functional.adaptive_avg_pool2d(exact, grid)
    assert torch.equal(same, x)
    assert cells.dtype == dtype
    assert cells.is_contiguous(memory_format=torch.channels_last)
    assert apart(cells, wanted) <= TOLERANCES[dtype]
    dx, dcells = numbers(shape, dtype, 1), numbers(cells.shape, dtype, 2)
    # The map and the averages; the averages alone; the map alone; gradients of another memory format.
    for used, gradients in (
        (slice(0, 2), (dx, dcells)),
        (slice(1, 2), (dcells,)),
        (slice(0, 1), (dx,)),
        (slice(0, 2), (dx.contiguous(), dcells.contiguous())),
    ):
        [found] = torch.autograd.grad((same, cells)[used], x, gradients, retain_graph=True)
        ours = (exact.view_as(exact), wanted)[used]
        [true] = torch.autograd.grad(ours, exact, [each.double() for each in gradients], retain_graph=True)
        assert found.dtype == dtype
        assert apart(found, true) <= TOLERANCES[dtype]


@gpu
@runs
def test_a_trie_learns_the_same_with_fused_heads_and_pooling(monkeypatch):
    from replaytree.networks.trie import PrefixNetwork
    from replaytree.space import Convolution, LayerSpace, Pooling
    from replaytree.training import fusing
    from replaytree.training.precision import whole_float32

    calls, real = [], fusing._tap
    monkeypatch.setattr(fusing, "DEVICES", ("cuda", "cpu"))
    monkeypatch.setattr(fusing, "_tap", lambda x, grid: calls.append((x.shape[1], grid)) or real(x, grid))
    pooled, windows = [], fusing._windows
    monkeypatch.setattr(fusing, "_windows", lambda *args: pooled.append(args) or windows(*args))
    space = LayerSpace([Convolution(8, 3), Pooling("avg", 2, 2)], input_shape=(3, 16, 16), num_classes=5, max_layers=3)
    torch.manual_seed(0)
    network = PrefixNetwork(space, [(0, 1, 0), (0, 0)], 5).to(DEVICE, memory_format=torch.channels_last)
    images = numbers((4, 3, 16, 16), torch.float32, 3)
    found = []
    for fuse in (False, True):
        with whole_float32(DEVICE):
            with fusing.Fusing(network).within() if fuse else nullcontext():
                logits = network(images)
            found.append([logits.detach(), *torch.autograd.grad(logits.square().sum(), list(network.parameters()))])
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-4)
    # Depth first: the heads of a convolution and of the one behind it; of pooling; of the last layer.
    assert calls == [(8, (4, 4)), (8, (4, 4)), (8, (4, 4)), (8, (2, 2))]
    assert len(pooled) == 1


@pytest.mark.skipif(GPU or INTERPRETED, reason="the kernels themselves are run")
def test_all_is_right_where_triton_interprets(interpreted):
    assert interpreted(__file__) == (len(CASES) + 1, 1)
