"""The kernels, on a GPU or, where there is none, interpreted by Triton in a process of its own."""

import os

import pytest
import torch
from torch.nn import functional

pytest.importorskip("triton")

INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
GPU = torch.cuda.is_available()
DEVICE = torch.device("cuda" if GPU and not INTERPRETED else "cpu")
runs = pytest.mark.skipif(not (GPU or INTERPRETED), reason="test_all_is_right_where_triton_interprets runs it")
gpu = pytest.mark.gpu if GPU else lambda test: test

# (shape, kernel, stride, padding): windows apart, overlapping, with gaps, padded; sides that windows do not fill;
# channels that are no power of two or wider than a tile; more pixels than a program takes.
CASES = [
    ((3, 12, 8, 8), 2, 2, 0), ((2, 33, 7, 9), 3, 2, 1), ((1, 140, 6, 6), 3, 1, 1), ((2, 16, 5, 8), 3, 2, 0),
    ((2, 3, 9, 9), 2, 1, 0), ((2, 8, 7, 8), 2, 3, 0), ((2, 8, 7, 8), 2, 2, 1),
]  # fmt: skip


def numbers(shape, dtype, seed):
    generator = torch.Generator().manual_seed(seed)
    # Behind a ReLU many are 0, so that maxima have equals.
    made = torch.randn(shape, generator=generator).relu().to(dtype).to(DEVICE)
    return made.contiguous(memory_format=torch.channels_last)


def torchs(x, kernel, stride, padding, maximum):
    if maximum:
        return functional.max_pool2d(x, kernel, stride, padding)
    return functional.avg_pool2d(x, kernel, stride, padding, count_include_pad=False)


@gpu
@runs
@pytest.mark.parametrize("maximum", [True, False])
@pytest.mark.parametrize(("case", "dtype"), [*((c, torch.float32) for c in CASES), (CASES[1], torch.bfloat16)])
def test_pooling_and_its_gradient_are_those_of_torch(case, dtype, maximum):
    from replaytree.training.window_kernels import Window

    shape, *window = case
    x = numbers(shape, dtype, 0).requires_grad_()
    exact = x.detach().double().contiguous().requires_grad_()
    y, wanted = Window.apply(x, *window, maximum), torchs(exact, *window, maximum)
    assert (y.dtype, y.shape) == (dtype, wanted.shape)
    assert y.is_contiguous(memory_format=torch.channels_last)
    tolerance = 1e-6 if dtype == torch.float32 else 8e-3
    assert (y.double() - wanted).norm() <= (0.0 if maximum else tolerance) * wanted.norm()
    dy = numbers(y.shape, dtype, 1) - 1
    for gradient in (dy, dy.contiguous()):
        [dx] = torch.autograd.grad(y, x, gradient, retain_graph=True)
        [true] = torch.autograd.grad(wanted, exact, gradient.double(), retain_graph=True)
        assert dx.dtype == dtype
        assert (dx.double() - true).norm() <= tolerance * true.norm()


@gpu
@runs
def test_what_is_no_number_stays_none():
    from replaytree.training.window_kernels import Window

    x = numbers((1, 4, 4, 4), torch.float32, 0)
    # The first and the last of a window.
    x[0, 1, 0, 0] = x[0, 2, 3, 3] = float("nan")
    for maximum in (True, False):
        assert torch.equal(Window.apply(x, 2, 2, 0, maximum).isnan(), torchs(x, 2, 2, 0, maximum).isnan())


@pytest.mark.skipif(GPU or INTERPRETED, reason="the kernels themselves are run")
def test_all_is_right_where_triton_interprets(interpreted):
    assert interpreted(__file__) == (2 * len(CASES) + 3, 1)
