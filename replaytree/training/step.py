"""One step of a training: forward, backward and update, run eagerly or captured in a CUDA graph.

Shapes: B images a batch, C channels, H rows, W columns, K classes, T heads.
"""

from __future__ import annotations

import logging

import torch
from torch import Tensor, nn
from torch.nn import functional

from replaytree.networks.trie import PrefixNetwork

# cuDNN chooses algorithms and the optimiser makes its momentum in the first steps, which a capture must not see.
EAGER_STEPS = 3

_log = logging.getLogger(__name__)


class Step:
    """Trains a network on one batch after another, and keeps account of the losses on the device.

    The training loss is the sum over the heads of the mean cross-entropy; in a PrefixNetwork a layer takes the
    gradients of the heads behind it discounted by their distance (network.DISCOUNT). With `capture`, on a CUDA device,
    the steps after the first few are replays of one CUDA graph, which takes the time of the kernels alone. A network
    that cannot be captured (a layer waits for the device) is trained eagerly.
    """

    def __init__(
        self, network: nn.Module, optimizer: torch.optim.Optimizer, *, label_smoothing: float, capture: bool
    ) -> None:
        self._network = network
        self._optimizer = optimizer
        self._label_smoothing = label_smoothing
        self._capture = capture
        self._steps = 0
        self._graph: torch.cuda.CUDAGraph | None = None
        self._inputs_BCHW = self._labels_B = torch.empty(0)
        self._losses_T: Tensor | None = None
        self._finite_T: Tensor | None = None
        self._discount()

    def reset(self) -> None:
        """Drop the captured graph, because the layers of the network have changed."""
        self._steps, self._graph, self._losses_T, self._finite_T = 0, None, None, None
        self._optimizer.zero_grad(set_to_none=True)
        self._discount()

    def _discount(self) -> None:
        self._by_factor: dict[float, list[nn.Parameter]] = {}
        if isinstance(self._network, PrefixNetwork):
            for parameter, factor in self._network.gradient_factors():
                if factor != 1.0:
                    self._by_factor.setdefault(factor, []).append(parameter)

    def begin(self) -> None:
        """Start new sums of the losses."""
        for total_T in (self._losses_T, self._finite_T):
            if total_T is not None:
                total_T.zero_()

    def losses(self) -> list[float]:
        """Each head's loss, summed since `begin`; waits for the device."""
        return [] if self._losses_T is None else self._losses_T.tolist()

    def first_to_fail(self) -> tuple[int, ...]:
        """The heads whose loss has been finite in the fewest steps since `begin`."""
        steps = [] if self._finite_T is None else self._finite_T.tolist()
        return tuple(head for head, count in enumerate(steps) if count == min(steps))

    def __call__(self, inputs_BCHW: Tensor, labels_B: Tensor) -> None:
        """Train on a batch; all batches have one shape."""
        self._steps += 1
        if inputs_BCHW.device.type != "cuda" or not self._capture:
            self._eager(inputs_BCHW, labels_B)
        elif self._graph is not None:
            self._inputs_BCHW.copy_(inputs_BCHW)
            self._labels_B.copy_(labels_B)
            self._graph.replay()
        elif self._steps <= EAGER_STEPS:
            # On another stream than the default one, as what precedes a capture must be.
            stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
            stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(stream):
                self._eager(inputs_BCHW, labels_B)
            torch.cuda.current_stream().wait_stream(stream)
        else:
            self._captured(inputs_BCHW, labels_B)

    def _eager(self, inputs_BCHW: Tensor, labels_B: Tensor) -> None:
        self._optimizer.zero_grad(set_to_none=True)
        self._train(inputs_BCHW, labels_B)

    def _train(self, inputs_BCHW: Tensor, labels_B: Tensor) -> None:
        logits_TBK = logits_of(self._network, inputs_BCHW)
        heads = len(logits_TBK)
        # All heads in one call: 0.8 ms a step less than a call a head, for ten heads on a CPU.
        losses_T = (
            functional.cross_entropy(
                logits_TBK.flatten(0, 1),
                labels_B.repeat(heads),
                label_smoothing=self._label_smoothing,
                reduction="none",
            )
            .view(heads, -1)
            .mean(dim=1)
        )
        losses_T.sum().backward()  # type: ignore[no-untyped-call]
        for factor, parameters in self._by_factor.items():
            torch._foreach_mul_([p.grad for p in parameters if p.grad is not None], factor)
        self._optimizer.step()
        with torch.no_grad():
            if self._losses_T is None or self._finite_T is None:
                self._losses_T, self._finite_T = torch.zeros_like(losses_T), torch.zeros_like(losses_T)
            self._losses_T += losses_T
            # Once one loss is infinite, the sum stays so.
            self._finite_T += self._losses_T.isfinite()

    def _captured(self, inputs_BCHW: Tensor, labels_B: Tensor) -> None:
        """Capture a step, which does not execute it, and replay it for this batch."""
        self._inputs_BCHW, self._labels_B = inputs_BCHW.clone(), labels_B.clone()
        self._optimizer.zero_grad(set_to_none=True)
        graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.graph(graph):
                self._train(self._inputs_BCHW, self._labels_B)
        except Exception as error:
            _log.warning("the training step cannot be captured in a CUDA graph (%s); it runs eagerly", error)
            self._capture = False
            self._eager(inputs_BCHW, labels_B)
            return
        self._graph = graph
        graph.replay()


def logits_of(network: nn.Module, inputs_BCHW: Tensor) -> Tensor:
    """Logits of every head, (T, B, K) in float32; in bfloat16 where that is faster, which is on CUDA devices."""
    device = inputs_BCHW.device.type
    # No cache of cast weights: each is used once in a forward pass, and a captured step must cast them anew.
    with torch.autocast(device, dtype=torch.bfloat16, enabled=device == "cuda", cache_enabled=False):
        logits_TBK: Tensor = network(inputs_BCHW)
    return logits_TBK.float()
