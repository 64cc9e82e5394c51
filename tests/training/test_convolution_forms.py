import pytest
import torch
from torch import nn

from replaytree.space import Convolution
from replaytree.training import fusing
from replaytree.training.convolution_forms import convolved, has_few_channels, is_padded_even
from replaytree.training.fusing import Fusing


def maps(*shape, dtype=torch.float64):
    made = torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=dtype)
    return made.contiguous(memory_format=torch.channels_last)


def compared(convolution, plain, x, **form):
    """The map and all gradients in another form, and as they are."""
    dy = torch.randn_like(plain(x))
    both = []
    for compute in (lambda x: convolved(convolution, x, **form), plain):
        own = x.detach().requires_grad_()
        y = compute(own)
        both.append([y.detach(), *torch.autograd.grad(y, [own, *convolution.parameters()], dy)])
    return zip(*both, strict=True)


@pytest.mark.parametrize("inputs", [1, 3, 9])
@pytest.mark.parametrize(("kernel", "stride"), [(4, 1), (4, 2), (4, 3), (6, 1)])
def test_an_even_kernel_computes_the_same_as_an_odd_one(kernel, stride, inputs):
    pad, convolution, *_ = Convolution(5, kernel, stride).module((inputs, 9, 10)).double()
    assert is_padded_even(pad, convolution)
    plain = nn.Sequential(pad, convolution)
    for ours, theirs in compared(convolution, plain, maps(2, inputs, 9, 10), even=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    "convolution",
    [nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(1, 4, (1, 3), 2, bias=False), nn.Conv2d(7, 2, 3, padding=2, dilation=2)],
)
def test_few_channels_compute_the_same_with_zeros_among_them(convolution):
    convolution.double()
    assert has_few_channels(convolution)
    for ours, theirs in compared(convolution, convolution, maps(2, convolution.in_channels, 6, 7)):
        torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)


def test_other_convolutions_keep_their_form():
    pad, even = nn.ZeroPad2d((1, 2, 1, 2)), nn.Conv2d(8, 4, 4)
    assert is_padded_even(pad, even)
    others = [
        (pad, nn.Conv2d(8, 4, 4, padding=1)), (pad, nn.Conv2d(8, 4, 4, dilation=2)), (pad, nn.Conv2d(8, 4, (4, 3))),
        (nn.ZeroPad2d((2, 1, 2, 1)), even), (nn.ZeroPad2d(1), nn.Conv2d(8, 4, 3)), (nn.ReplicationPad2d(1), even),
        (nn.ZeroPad2d((0, 1, 0, 1)), nn.Conv2d(8, 4, 2)), (pad, nn.ReLU()),
    ]  # fmt: skip
    assert not any(is_padded_even(*pair) for pair in others)
    assert not any(map(has_few_channels, [nn.Conv2d(8, 4, 3), nn.Conv2d(4, 4, 3, groups=2), nn.ReLU()]))


def test_autocast_computes_in_its_type():
    pad, convolution, *_ = Convolution(6, 4).module((3, 8, 8))
    x = maps(2, 3, 8, 8, dtype=torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        y = convolved(convolution, x, even=True)
    assert y.dtype == torch.bfloat16
    torch.testing.assert_close(y.float(), convolution(pad(x)), rtol=0.02, atol=0.02)


def test_a_network_computes_the_same_in_other_forms(monkeypatch):
    calls = []
    monkeypatch.setattr(fusing, "DEVICES", ("cpu",))
    monkeypatch.setattr(fusing, "convolved", lambda *args, **form: calls.append(form) or convolved(*args, **form))
    first, second = (Convolution(9, kernel).module((inputs, 8, 8)) for kernel, inputs in ((3, 3), (4, 9)))
    network = nn.Sequential(nn.Sequential(*first[:1]), nn.Sequential(*second[:2], nn.Sigmoid()))
    x = maps(2, 3, 8, 8, dtype=torch.float32)
    plain = network(x)
    assert not calls
    with Fusing(network).within():
        torch.testing.assert_close(network(x), plain)
        assert calls == [{}, {"even": True}]
        # Maps of another memory format are left to torch.
        torch.testing.assert_close(network(x.contiguous()), plain)
    assert len(calls) == 2
