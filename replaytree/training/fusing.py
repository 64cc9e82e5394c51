"""What is fused on a GPU while a network trains: where it is in a network, and where that can be done.

Shapes: B images, C channels, H rows, W columns of a feature map.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache, partial
from importlib.util import find_spec
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from replaytree.networks.heads import AlikeHeads, Heads
from replaytree.space.layers.modules.residual import ResidualModule
from replaytree.training.device import on

_log = logging.getLogger(__name__)

Norms = nn.BatchNorm1d | nn.BatchNorm2d
Call = Callable[[Tensor], Tensor]
# Tests let Triton interpret the kernels on the CPU.
DEVICES: tuple[str, ...] = ("cuda",)
# Of larger windows every number would be read too often.
LARGEST_WINDOW = 3
DTYPES = (torch.float32, torch.bfloat16, torch.float16)
# Of a trial: one of its 8192 gradients is a hundredth, and rounding may put one on the other side of a ReLU.
TOLERANCE = 0.03
# Of Volta, the oldest GPUs that Triton makes code for.
CAPABILITY_FROM = 7


class Fusing:
    """What can be fused in a network: batch norm, alone, with a ReLU or as the end of a residual block, and pooling.

    It is fused only `within` a forward pass. Modules, their names and what is exported stay as they are.
    """

    def __init__(self, network: nn.Module) -> None:
        self._methods: list[tuple[nn.Module, str, Callable[..., Any]]] = []
        for module in network.modules():
            name, method = _fused_method(module)
            if method is not None and name not in vars(module):
                self._methods.append((module, name, method))

    def __len__(self) -> int:
        return len(self._methods)

    @contextmanager
    def within(self) -> Iterator[None]:
        """Let forward passes of the network run fused meanwhile."""
        for module, name, method in self._methods:
            vars(module)[name] = method
        try:
            yield
        finally:
            for module, name, _ in self._methods:
                del vars(module)[name]


def _fused_method(module: nn.Module) -> tuple[str, Callable[..., Any] | None]:
    """A method of a module and what is to be called instead of it; None where it has nothing to fuse."""
    if type(module) is Heads:
        return "pool", partial(tapped, module.pool)
    if type(module) is AlikeHeads:
        return "activated", partial(activated, module)
    if type(module) is nn.BatchNorm2d:
        return "forward", partial(normed, module)
    if isinstance(module, nn.AvgPool2d | nn.MaxPool2d) and type(module).__module__.startswith("torch."):
        return "forward", partial(pooled, module)
    return "forward", _fused_forward(module)


def _fused_forward(module: nn.Module) -> Call | None:
    """What a module is to compute instead of its own forward pass; None where it has nothing to fuse."""
    if type(module) is nn.Sequential:
        calls = _calls(list(module))
        return None if len(calls) == len(module) else lambda x_BCHW: _run(calls, x_BCHW)
    if type(module) is ResidualModule and _plain(module.branch, *module.branch):
        return _fused_block(module)
    return None


def _fused_block(block: ResidualModule) -> Call:
    *first, norm = block.branch
    assert isinstance(norm, nn.BatchNorm2d)
    calls, shortcut = _calls(first), block.shortcut
    if not isinstance(shortcut, nn.Sequential) or not _plain(shortcut, shortcut[-1]):
        return lambda x_BCHW: norm_relu(norm, _run(calls, x_BCHW), shortcut(x_BCHW))
    *projection, other = shortcut
    assert isinstance(other, nn.BatchNorm2d)
    return lambda x_BCHW: norms_relu(norm, _run(calls, x_BCHW), other, _run(projection, x_BCHW))


def _calls(modules: Sequence[nn.Module]) -> list[Call]:
    """What modules compute one after the other, in as few calls as may be."""
    calls: list[Call] = list(modules)
    for place, (norm, relu) in reversed(list(enumerate(pairwise(modules)))):
        if type(norm) is nn.BatchNorm2d and type(relu) is nn.ReLU and _plain(norm, relu):
            calls[place : place + 2] = [partial(norm_relu, norm)]
    return calls


def _run(calls: Iterable[Call], x_BCHW: Tensor) -> Tensor:
    for call in calls:
        x_BCHW = call(x_BCHW)
    return x_BCHW


def _plain(*modules: nn.Module) -> bool:
    """Whether nobody asked to hear of their calls."""
    return not any(
        hooks
        for module in modules
        for hooks in (
            module._forward_hooks,
            module._forward_pre_hooks,
            module._backward_hooks,
            module._backward_pre_hooks,
        )
    )


def norm_relu(norm: nn.BatchNorm2d, x_BCHW: Tensor, added_BCHW: Tensor | None = None) -> Tensor:
    """relu(norm(x)), or relu(norm(x) + added), in one where norm and tensors suit, else one after the other."""
    if suits(norm, x_BCHW) and (added_BCHW is None or _alike(added_BCHW, x_BCHW)):
        return _fused(norm, x_BCHW, added_BCHW, relu=True)
    y_BCHW: Tensor = norm(x_BCHW)
    return torch.relu_(y_BCHW if added_BCHW is None else y_BCHW + added_BCHW)


def norms_relu(norm: nn.BatchNorm2d, x_BCHW: Tensor, other: nn.BatchNorm2d, other_BCHW: Tensor) -> Tensor:
    """relu(norm(x) + norm(other)), in one where norms and tensors suit."""
    if suits(norm, x_BCHW) and suits(other, other_BCHW) and _alike(x_BCHW, other_BCHW):
        return _fused_sum(norm, x_BCHW, other, other_BCHW)
    return norm_relu(norm, x_BCHW, other(other_BCHW))


def normed(norm: nn.BatchNorm2d, x_BCHW: Tensor) -> Tensor:
    """Batch norm, by the kernels where it suits, else by torch."""
    return _fused(norm, x_BCHW, relu=False) if suits(norm, x_BCHW) else nn.BatchNorm2d.forward(norm, x_BCHW)


def activated(heads: AlikeHeads, units_RX: Tensor, rows: Sequence[int]) -> Tensor:
    """Batch norm and ReLU of the units of heads: of all in one, where the kernels suit."""
    units_RX11 = units_RX[:, :, None, None]
    if suits(heads.norm, units_RX11):
        return _fused(heads.norm, units_RX11, relu=True).flatten(1)
    return AlikeHeads.activated(heads, units_RX, rows)


def suits(norm: Norms, x_BCHW: Tensor) -> bool:
    """Whether the kernels compute this: batch norm in training, with all that torch's modules have by default.

    The map is in channels_last, and has more than one pixel a channel, which torch asks for as well.
    """
    own = (norm.weight, norm.bias, norm.running_mean, norm.running_var)
    return (
        _suits(x_BCHW)
        and norm.training
        and norm.momentum is not None
        and all(tensor is not None and tensor.dtype == torch.float32 for tensor in own)
        and x_BCHW.shape[1] == norm.num_features
        and x_BCHW.numel() > norm.num_features
    )


def _alike(a: Tensor, b: Tensor) -> bool:
    return (a.shape, a.dtype, a.device) == (b.shape, b.dtype, b.device)


def tapped(pool: Callable[..., tuple[Tensor, Tensor]], x_BCHW: Tensor, grid: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """A map, and averages of the cells of a grid, with one gradient for both, where the kernels compute that."""
    return _tap(x_BCHW, grid) if has_cells(x_BCHW, grid) else pool(x_BCHW, grid)


def pooled(pool: nn.AvgPool2d | nn.MaxPool2d, x_BCHW: Tensor) -> Tensor:
    """The average or maximum of windows, by the kernels where they compute it, else by torch."""
    window = _window_of(pool)
    if window is None or not _suits(x_BCHW) or min(x_BCHW.shape[2:]) < window[0]:
        return type(pool).forward(pool, x_BCHW)  # type: ignore[arg-type]
    return _windows(x_BCHW, *window, isinstance(pool, nn.MaxPool2d))


def _window_of(pool: nn.AvgPool2d | nn.MaxPool2d) -> tuple[int, int, int] | None:
    """Kernel, stride and padding of windows that the kernels know: small, square, padding left out of averages."""
    sizes = [{side} if isinstance(side, int) else set(side) for side in (pool.kernel_size, pool.stride, pool.padding)]
    if isinstance(pool, nn.MaxPool2d):
        usual = pool.dilation in (1, (1, 1)) and not pool.return_indices
    else:
        usual = pool.divisor_override is None and (not pool.count_include_pad or sizes[2] == {0})
    if not usual or pool.ceil_mode or any(len(sides) > 1 for sides in sizes):
        return None
    kernel, stride, padding = (sides.pop() for sides in sizes)
    return (kernel, stride, padding) if kernel <= LARGEST_WINDOW else None


def has_cells(x_BCHW: Tensor, grid: tuple[int, int]) -> bool:
    """Whether the kernels compute averages of a grid's cells, which are of one size."""
    return _suits(x_BCHW) and (x_BCHW.shape[2] % grid[0], x_BCHW.shape[3] % grid[1]) == (0, 0)


def _suits(x_BCHW: Tensor) -> bool:
    """Whether the kernels read such a map: in channels_last."""
    return (
        x_BCHW.device.type in DEVICES
        and x_BCHW.dtype in DTYPES
        and x_BCHW.ndim == 4
        and x_BCHW.numel() > 0
        and x_BCHW.is_contiguous(memory_format=torch.channels_last)
    )


def _tap(x_BCHW: Tensor, grid: tuple[int, int]) -> tuple[Tensor, Tensor]:
    from replaytree.training.pool_kernels import Tap

    both: tuple[Tensor, Tensor] = Tap.apply(x_BCHW, *grid)
    return both


def _fused(norm: Norms, x_BCHW: Tensor, added_BCHW: Tensor | None = None, *, relu: bool) -> Tensor:
    from replaytree.training.norm_kernels import Norm

    if added_BCHW is not None:
        added_BCHW = added_BCHW.contiguous(memory_format=torch.channels_last)
    y_BCHW: Tensor = Norm.apply(x_BCHW, *_own(norm), added_BCHW, relu)
    return y_BCHW


def _fused_sum(norm: Norms, x_BCHW: Tensor, other: Norms, other_BCHW: Tensor) -> Tensor:
    from replaytree.training.norm_kernels import NormSum

    y_BCHW: Tensor = NormSum.apply(x_BCHW, *_own(norm), other_BCHW, *_own(other))
    return y_BCHW


def _windows(x_BCHW: Tensor, kernel: int, stride: int, padding: int, maximum: bool) -> Tensor:
    from replaytree.training.window_kernels import Window

    y_BCHW: Tensor = Window.apply(x_BCHW, kernel, stride, padding, maximum)
    return y_BCHW


def _own(norm: Norms) -> tuple[Any, ...]:
    running = (norm.running_mean, norm.running_var, norm.num_batches_tracked, norm.momentum, norm.eps)
    return norm.weight, norm.bias, running


def can_fuse(device: torch.device) -> bool:
    """Whether the kernels work on a device: a CUDA GPU, with a Triton that compiles them and computes what torch does.

    The first question about a GPU is a small trial, which waits for it; where that fails, one warning says why.
    """
    if device.type != "cuda" or torch.version.hip is not None or find_spec("triton") is None:
        return False
    return torch.cuda.get_device_capability(device)[0] >= CAPABILITY_FROM and _tried(device)


@cache
def _tried(device: torch.device) -> bool:
    try:
        with on(device):
            difference = _difference(device)
    except Exception as error:
        why = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"[:200]
    else:
        if difference < TOLERANCE:
            return True
        why = f"a trial differs by {difference:.1g} from what torch computes"
    _log.warning("batch norm, ReLU and pooling are computed apart (%s)", why)
    return False


def _difference(device: torch.device) -> float:
    """The largest relative difference of maps and a gradient from those of torch, in float32."""
    generator = torch.Generator(device).manual_seed(0)
    x_BCHW, dy_BCHW = torch.randn((2, 4, 32, 8, 8), generator=generator, device=device)
    x_BCHW, dy_BCHW = (each.contiguous(memory_format=torch.channels_last) for each in (x_BCHW, dy_BCHW))
    found = []
    for fused in (True, False):
        own_BCHW, norm = x_BCHW.detach().requires_grad_(), nn.BatchNorm2d(32, device=device)
        y_BCHW = _fused(norm, own_BCHW, own_BCHW, relu=True) if fused else torch.relu(norm(own_BCHW) + own_BCHW)
        y_BCHW, cells_BCHW = (_tap if fused else Heads.pool)(y_BCHW, (2, 2))
        (dx_BCHW,) = torch.autograd.grad((y_BCHW, cells_BCHW), own_BCHW, (dy_BCHW, dy_BCHW[:, :, :2, :2]))
        found.append((y_BCHW.detach(), cells_BCHW.detach(), dx_BCHW))
    return max(float((a - b).norm() / b.norm()) for a, b in zip(*found, strict=True))
