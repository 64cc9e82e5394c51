"""Train single layers of many kinds, each in a process of its own, and tell those that die or get a wrong gradient.

    python tests/crash/stress_layers.py --cases 2000 [--plain]

Cases are drawn at random: a layer, its options, channels, image size, batch (odd ones, too), 1 to 8 threads, float32 or
bfloat16, with and without channels_last. The layers are built as a search builds them; `--plain` takes the user's own
torch modules as they are, which shows what torch itself gets wrong. Gradients are compared with those of one thread: in
float64 without oneDNN, or in bfloat16. One line a failure; exit code 1 where there is one.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import nn

from replaytree.space import Convolution, CustomLayer, Layer, Pooling, ResidualBlock
from replaytree.space.building import build_layer

PASSES = 12
# Relative to the largest entry: sums of some thousand terms in float32, and in bfloat16 with its 8 bits.
TOLERANCE = {torch.float32: 1e-3, torch.bfloat16: 3e-2}


@dataclass(frozen=True)
class Case:
    """One training of one layer."""

    kind: str
    options: tuple[int, ...]
    channels: int
    size: int
    batch: int
    threads: int
    dtype: torch.dtype
    channels_last: bool

    def __str__(self) -> str:
        layout = "channels_last" if self.channels_last else "contiguous"
        dtype = str(self.dtype).removeprefix("torch.")
        shape = f"({self.batch}, {self.channels}, {self.size}, {self.size})"
        return f"{self.kind}{self.options} of {shape}, {self.threads} threads, {dtype}, {layout}"


def _own(make: Callable[[int], nn.Module]) -> Layer:
    return CustomLayer("own", lambda shape: make(shape[0]))


def _conv(channels: int, out: int, kernel: int | tuple[int, int], stride: int, **options: int) -> nn.Module:
    sides = (kernel, kernel) if isinstance(kernel, int) else kernel
    padding = tuple(options.get("dilation", 1) * (side - 1) // 2 for side in sides)
    return nn.Conv2d(channels, out, kernel, stride, padding, bias=False, **options)


# Kind -> (how its options are drawn, the layer). `out` is a multiple of 4, so that groups divide it.
KINDS: dict[str, tuple[Callable[[random.Random], tuple[int, ...]], Callable[..., Layer]]] = {
    "convolution": (
        lambda r: (r.choice([8, 12, 32, 64]), r.choice([1, 2, 3, 4, 5, 7]), r.choice([1, 2, 3])),
        Convolution,
    ),
    "residual": (
        lambda r: (r.choice([8, 12, 32, 64]), r.choice([1, 2, 3])),
        ResidualBlock,
    ),
    "pooling": (
        lambda r: (r.choice([0, 1]), r.choice([2, 3]), r.choice([1, 2])),
        lambda avg, kernel, stride: Pooling("avg" if avg else "max", kernel, stride),
    ),
    "pointwise": (
        lambda r: (r.choice([4, 8, 12, 32, 64]), r.choice([1, 2, 3])),
        lambda out, stride: _own(lambda channels: _conv(channels, out, 1, stride)),
    ),
    "grouped": (
        lambda r: (r.choice([8, 12, 32]), r.choice([1, 3, 5]), r.choice([1, 2])),
        lambda out, kernel, stride: _own(
            lambda channels: _conv(channels, out, kernel, stride, groups=4 if channels % 4 == 0 else 1)
        ),
    ),
    "depthwise": (
        lambda r: (r.choice([1, 3, 5]), r.choice([1, 2])),
        lambda kernel, stride: _own(lambda channels: _conv(channels, channels, kernel, stride, groups=channels)),
    ),
    "dilated": (
        lambda r: (r.choice([8, 12, 32]), r.choice([1, 3, 5]), r.choice([1, 2])),
        lambda out, kernel, stride: _own(lambda channels: _conv(channels, out, kernel, stride, dilation=2)),
    ),
    "row": (
        lambda r: (r.choice([8, 12, 32]), r.choice([3, 5, 7]), r.choice([1, 2])),
        lambda out, kernel, stride: _own(lambda channels: _conv(channels, out, (1, kernel), stride)),
    ),
    "column": (
        lambda r: (r.choice([8, 12, 32]), r.choice([3, 5, 7]), r.choice([1, 2])),
        lambda out, kernel, stride: _own(lambda channels: _conv(channels, out, (kernel, 1), stride)),
    ),
    "transposed": (
        lambda r: (r.choice([8, 12, 32]), r.choice([1, 2, 3]), r.choice([1, 2])),
        lambda out, kernel, stride: _own(lambda channels: nn.ConvTranspose2d(channels, out, kernel, stride)),
    ),
}


# What died, or got a wrong gradient, in torch 2.14.1 on AVX-512: 1x1 convolutions with a stride, wherever they stand.
FOUND = (
    Case("residual", (32, 2), 8, 32, 63, 2, torch.float32, channels_last=True),
    Case("convolution", (32, 1, 2), 8, 32, 63, 2, torch.float32, channels_last=True),
    Case("pointwise", (32, 2), 8, 32, 64, 3, torch.float32, channels_last=True),
    Case("pointwise", (32, 2), 8, 28, 62, 3, torch.bfloat16, channels_last=True),
    Case("dilated", (32, 1, 2), 8, 32, 61, 2, torch.float32, channels_last=True),
    Case("dilated", (8, 1, 2), 8, 16, 2, 6, torch.bfloat16, channels_last=True),
)


def draw(random_: random.Random, kinds: list[str]) -> Case:
    """One case at random."""
    kind = random_.choice(kinds)
    return Case(
        kind,
        KINDS[kind][0](random_),
        channels=random_.choice([1, 3, 4, 8, 8, 12, 16, 32]),
        size=random_.choice([4, 7, 8, 16, 28, 32]),
        batch=random_.choice([1, 2, 3, 7, 31, 61, 62, 63, 64]),
        threads=random_.randint(1, 8),
        dtype=random_.choice([torch.float32, torch.bfloat16]),
        channels_last=random_.random() < 0.7,
    )


def gradients(module: nn.Module, images: torch.Tensor, case: Case, *, passes: int = 1) -> list[torch.Tensor]:
    """Those of the input and the parameters, from the last of some passes as the case asks for."""
    if case.channels_last:
        module = module.to(memory_format=torch.channels_last)
        images = images.contiguous(memory_format=torch.channels_last)
    inputs = images.clone(memory_format=torch.preserve_format).requires_grad_()
    found: list[torch.Tensor] = []
    for _ in range(passes):
        module.zero_grad()
        inputs.grad = None
        with torch.autocast("cpu", torch.bfloat16, enabled=case.dtype == torch.bfloat16):
            output = module(inputs)
        (output.float() ** 2).sum().backward()
        found = [tensor.grad.clone() for tensor in (inputs, *module.parameters()) if tensor.grad is not None]
    return found


def run(case: Case, *, plain: bool) -> str:
    """'' for a good case, else what is wrong with it; dies where torch does."""
    torch.manual_seed(0)
    torch.set_num_threads(case.threads)
    layer = KINDS[case.kind][1](*case.options)
    shape = (case.channels, case.size, case.size)
    if not isinstance(layer, CustomLayer) and layer.output_shape(shape) is None:
        return ""
    module = layer.builder(shape) if plain and isinstance(layer, CustomLayer) else build_layer(layer, shape)
    module.eval()  # batch norm would make tiny gradients of large sums
    images = torch.randn(case.batch, *shape)
    found = gradients(module, images, case, passes=PASSES)
    torch.set_num_threads(1)
    if case.dtype == torch.bfloat16:
        expected = gradients(module, images, case)
    else:
        with torch.backends.mkldnn.flags(enabled=False):
            expected = gradients(module.double(), images.double(), replace(case, channels_last=False))
    for number, (one, other) in enumerate(zip(found, expected, strict=True)):
        error = float((one.double() - other).abs().max() / other.abs().max().clamp(min=1e-9))
        if not error <= TOLERANCE[case.dtype]:
            return f"gradient {number} is wrong by {error:.2g} of its largest entry"
    return ""


def outcome(case: Case, *, plain: bool) -> str:
    """The same from a process of its own, so that its death is an answer, too."""
    tells, told = os.pipe()
    pid = os.fork()
    if not pid:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        signal.alarm(120)
        try:
            text = run(case, plain=plain)
        except Exception as error:
            text = f"{type(error).__name__}: {str(error).splitlines()[0]}"
        os.write(told, text.encode()[:500] or b"good")
        os._exit(0)
    os.close(told)
    with os.fdopen(tells, "rb") as pipe:
        text = pipe.read().decode()
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if code:
        return f"died of {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
    return "" if text == "good" else text


def main(arguments: list[str] | None = None) -> int:
    """Draw, run, tell; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--plain", action="store_true", help="torch's own modules, as they are")
    parser.add_argument("--kinds", nargs="+", choices=list(KINDS), default=list(KINDS))
    parser.add_argument("--found", action="store_true", help="only what was found before, not at random")
    options = parser.parse_args(arguments)
    random_ = random.Random(options.seed)
    cases = FOUND if options.found else [draw(random_, options.kinds) for _ in range(options.cases)]
    failed = 0
    for case in cases:
        if text := outcome(case, plain=options.plain):
            failed += 1
            print(f"{case}: {text}", flush=True)
    print(f"{len(cases)} cases, {failed} failed; torch {torch.__version__}, {torch.backends.cpu.get_cpu_capability()}")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
