"""The kernels, on a GPU or, where there is none, interpreted by Triton in a process of its own."""

import os
from contextlib import nullcontext
from functools import partial

import pytest
import torch
from torch import nn

from replaytree.training.precision import whole_float32

pytest.importorskip("triton")

INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
GPU = torch.cuda.is_available()
DEVICE = torch.device("cuda" if GPU and not INTERPRETED else "cpu")
runs = pytest.mark.skipif(not (GPU or INTERPRETED), reason="test_all_is_right_where_triton_interprets runs it")
gpu = pytest.mark.gpu if GPU else lambda test: test

TOLERANCES = {torch.float32: 1e-5, torch.float16: 2e-3, torch.bfloat16: 1e-2}
# Channels that are no power of two, rows that are no multiple of a tile, 48 channels wide as two thirds of a tile, 200
# as more than one, 33 that cannot be read 16 bytes at once, and enough rows for two splits, the last tile not full.
SHAPES = [(5, 48, 3, 5), (7, 33, 5, 3), (6, 12, 4, 4), (2, 200, 4, 4), (3, 1, 5, 5), (17, 128, 3, 3)]
TYPES = [*((shape, torch.float32) for shape in SHAPES), *(((4, 32, 4, 4), dtype) for dtype in list(TOLERANCES)[1:])]
CASES = [(*each, kind) for each in TYPES for kind in ("relu", "added")] + [(*each, "norm") for each in TYPES[::4]]


def maps(shape, dtype, seed):
    generator = torch.Generator().manual_seed(seed)
    numbers = (torch.randn(shape, generator=generator) * 2 + 3).to(dtype)
    return numbers.to(DEVICE).contiguous(memory_format=torch.channels_last)


def norm_of(channels):
    generator = torch.Generator().manual_seed(9)
    norm = nn.BatchNorm2d(channels, momentum=0.3, eps=1e-3)
    for tensor in (norm.weight.data, norm.bias.data, norm.running_mean, norm.running_var):
        tensor.copy_(torch.randn(channels, generator=generator))
    norm.num_batches_tracked.fill_(4)
    return norm.to(DEVICE)


def own(norm):
    running = (norm.running_mean, norm.running_var, norm.num_batches_tracked, norm.momentum, norm.eps)
    return norm.weight, norm.bias, running


def fused(norm, x, added=None, *, relu=True):
    from replaytree.training.norm_kernels import Norm

    return Norm.apply(x, *own(norm), added, relu)


def everything(compute, norm, dy, *inputs):
    """The map, all gradients, and what the norm remembers."""
    inputs = [each.detach().requires_grad_() for each in inputs]
    y = compute(norm, *inputs)
    gradients = torch.autograd.grad(y, [*inputs, norm.weight, norm.bias], dy)
    return [y.detach(), *gradients, norm.running_mean, norm.running_var]


def relu_of(norm, x, *added):
    return torch.relu(sum(added, norm(x)))


@gpu
@runs
@pytest.mark.parametrize(("shape", "dtype", "kind"), CASES)
def test_map_gradients_and_running_averages_are_those_of_torch(shape, dtype, kind):
    adds = kind == "added"
    inputs = [maps(shape, dtype, seed) for seed in range(1 + adds)]
    dy = maps(shape, dtype, 5) - 3
    norm, exact = norm_of(shape[1]), norm_of(shape[1]).double()
    found = everything(partial(fused, relu=kind != "norm"), norm, dy, *inputs)
    wanted = everything(
        nn.Module.__call__ if kind == "norm" else relu_of, exact, dy.double(), *[each.double() for each in inputs]
    )
    for ours, theirs in zip(found, wanted, strict=True):
        assert (ours.double() - theirs).norm() <= TOLERANCES[dtype] * theirs.norm()
    assert [each.dtype for each in found] == [dtype] * (2 + adds) + [torch.float32] * 4
    assert norm.num_batches_tracked == 5


@gpu
@runs
@pytest.mark.parametrize("shape", [(5, 48, 3, 5), (7, 33, 5, 3)])
def test_the_sum_of_two_norms(shape):
    from replaytree.training.norm_kernels import NormSum

    maps_of = [maps(shape, torch.float32, seed) for seed in range(2)]
    dy = maps(shape, torch.float32, 5) - 3

    def computed(sum_of, dtype):
        norms = [norm_of(shape[1]).to(dtype) for _ in range(2)]
        norms[1].weight.data += 1
        both = [each.to(dtype).requires_grad_() for each in maps_of]
        y = sum_of(norms, both)
        parameters = [each for norm in norms for each in norm.parameters()]
        gradients = torch.autograd.grad(y, [*both, *parameters], dy.to(dtype))
        return [y.detach(), *gradients, *(each.running_mean for each in norms), *(each.running_var for each in norms)]

    found = computed(lambda n, x: NormSum.apply(x[0], *own(n[0]), x[1], *own(n[1])), torch.float32)
    wanted = computed(lambda n, x: torch.relu(n[0](x[0]) + n[1](x[1])), torch.float64)
    for ours, theirs in zip(found, wanted, strict=True):
        assert (ours.double() - theirs).norm() <= 1e-5 * theirs.norm()


@gpu
@runs
def test_a_mean_that_is_large_beside_the_deviation_does_not_drown_it():
    x = maps((8, 16, 6, 6), torch.float32, 0) + 3000.0
    norm, exact = norm_of(16), norm_of(16).double()
    y, wanted = fused(norm, x), torch.relu(exact(x.double()))
    assert (y.double() - wanted).norm() <= 1e-3 * wanted.norm()


@gpu
@runs
def test_more_parts_than_are_summed_at_once(monkeypatch):
    from replaytree.training import norm_kernels

    monkeypatch.setattr(norm_kernels, "PARTS", 2)
    x, dy = (maps((6, 12, 4, 4), torch.float32, seed) for seed in range(2))
    for ours, theirs in zip(*(everything(each, norm_of(12), dy, x) for each in (fused, relu_of)), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)


@gpu
@runs
@pytest.mark.parametrize("what", [float("nan"), float("inf")])
def test_what_is_no_number_stays_none(what):
    x = maps((4, 16, 4, 4), torch.float32, 0)
    x[1, 3, 2, 2] = what
    y = fused(norm_of(16), x)
    assert y[:, 3].isnan().any()
    assert y[:, :3].isfinite().all()


@gpu
@runs
def test_other_memory_formats_and_a_channel_without_variance():
    from replaytree.training.fusing import _fused

    x = maps((4, 8, 4, 4), torch.float32, 0)
    x[:, 2] = 1.5
    added, dy = (maps((4, 8, 4, 4), torch.float32, seed).contiguous() for seed in (1, 2))
    found = everything(partial(_fused, relu=True), norm_of(8), dy, x, added)
    wanted = everything(relu_of, norm_of(8), dy, x, added)
    for ours, theirs in zip(found, wanted, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)


@gpu
@runs
def test_a_network_computes_the_same_fused(monkeypatch):
    from replaytree.space import Convolution, LayerSpace, ResidualBlock
    from replaytree.training import fusing

    calls, real, sum_of = [], fusing._fused, fusing._fused_sum
    monkeypatch.setattr(fusing, "DEVICES", ("cuda", "cpu"))
    monkeypatch.setattr(fusing, "_fused", lambda *args, relu: calls.append((len(args), relu)) or real(*args, relu=relu))
    monkeypatch.setattr(fusing, "_fused_sum", lambda *args: calls.append(len(args)) or sum_of(*args))
    layers = [Convolution(8, 3), ResidualBlock(8, 1), ResidualBlock(12, 2)]
    space = LayerSpace(layers, input_shape=(3, 8, 8), num_classes=10, max_layers=3)
    torch.manual_seed(0)
    network = space.build((0, 1, 2), 10).to(DEVICE, memory_format=torch.channels_last)
    images, start = maps((6, 3, 8, 8), torch.float32, 0), {n: v.clone() for n, v in network.state_dict().items()}
    found = []
    for fuse in (False, True):
        network.load_state_dict(start)
        fusion = fusing.Fusing(network)
        # A GPU rounds the factors of convolutions to 10 bits otherwise, which hides what the kernels do.
        with whole_float32(DEVICE):
            with fusion.within() if fuse else nullcontext():
                logits = network(images)
            gradients = torch.autograd.grad(logits.square().sum(), list(network.parameters()))
        found.append([logits.detach(), *gradients, *(v.clone().double() for v in network.state_dict().values())])
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-4)
    # The convolution; the pair and the end of a block; those of another, which projects.
    assert calls == [(3, True), (3, True), (3, True), (3, True), 4]


@gpu
@pytest.mark.skipif(not GPU, reason="needs a CUDA device")
def test_kernels_are_captured():
    x, added = (maps((16, 32, 8, 8), torch.bfloat16, seed) for seed in range(2))
    norm, stream = norm_of(32), torch.cuda.Stream()
    dy = maps((16, 32, 8, 8), torch.bfloat16, 3)
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        everything(fused, norm, dy, x, added)
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        captured = everything(fused, norm, dy, x, added)[:5]
    x.copy_(maps((16, 32, 8, 8), torch.bfloat16, 7))
    graph.replay()
    assert all(map(torch.equal, captured, everything(fused, norm, dy, x, added)[:5]))


@pytest.mark.skipif(GPU or INTERPRETED, reason="the kernels themselves are run")
def test_all_is_right_where_triton_interprets(interpreted):
    # All but the two that need a GPU or no interpreter.
    assert interpreted(__file__) == (len(CASES) + 8, 2)
