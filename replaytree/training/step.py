"""One step of a training: forward, backward and update, run eagerly or captured in a CUDA graph.

Shapes: B images a batch, C channels, H rows, W columns, K classes, T heads, M = T B.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from replaytree.networks.trie import PrefixNetwork
from replaytree.training.capture import Side, capturable, captured, side_for
from replaytree.training.class_weights import weighted
from replaytree.training.fusing import Fusing, can_fuse
from replaytree.training.precision import Precision

# cuDNN chooses algorithms and the optimiser makes its momentum in the first steps, which a capture must not see.
EAGER_STEPS = 3


class Step:
    """Trains a network on one batch after another, and keeps account of the losses on the device.

    The training loss is the sum over the heads of the mean cross-entropy, times `head_weights` where these are given;
    in a PrefixNetwork a layer takes the gradients of the heads behind it discounted by their distance
    (network.DISCOUNT). With `class_weights` (K) the loss of each image is multiplied by that of its class. Gradients
    that are together longer than `grad_clip` are shortened to it. With `capture`, on a CUDA device, the steps after the
    first few are replays of one CUDA graph, which takes the time of the kernels alone. A network that cannot be
    captured (a layer may wait for the device) is trained eagerly. With `fuse`, on a GPU where that can be done
    (fusing.py), what is captured is fused. A fused step that is not captured would wait for the CPU for longer than it
    saves: 24 ms against 12 for nine layers and 64 images on an H100.
    """

    def __init__(
        self,
        network: nn.Module,
        optimizer: torch.optim.Optimizer,
        *,
        label_smoothing: float,
        capture: bool,
        device: torch.device,
        fuse: bool = True,
        precision: Precision | None = None,
        head_weights: Sequence[float] | None = None,
        grad_clip: float | None = None,
        class_weights: Tensor | None = None,
    ) -> None:
        self._network = network
        self._optimizer = optimizer
        self._label_smoothing = label_smoothing
        self._device = device
        self._precision = precision or Precision.of(device)
        self._scaler = _scaler(optimizer, device) if self._precision.scaled else None
        self._capture = capture and device.type == "cuda" and capturable(network)
        # A captured step could not copy numbers to the device.
        self._weights_T = None if head_weights is None else torch.tensor(head_weights, device=device)
        self._grad_clip = grad_clip
        self._class_weights_K = class_weights
        self._fuse = fuse and self._capture and can_fuse(device)
        self._steps = 0
        self._side: Side | None = None
        self._graph: torch.cuda.CUDAGraph | None = None
        self._inputs_BCHW = self._labels_B = torch.empty(0)
        self._losses_T: Tensor | None = None
        self._finite_T: Tensor | None = None
        self._look_at_layers()

    def reset(self) -> None:
        """Drop the captured graph, because the layers of the network have changed."""
        self._steps, self._graph, self._losses_T, self._finite_T = 0, None, None, None
        self._optimizer.zero_grad(set_to_none=True)
        self._look_at_layers()

    def _look_at_layers(self) -> None:
        self._fusing = Fusing(self._network) if self._fuse else None
        self._by_factor: dict[float, list[nn.Parameter]] = {}
        if isinstance(self._network, PrefixNetwork):
            for parameter, factor in self._network.gradient_factors():
                if factor != 1.0:
                    self._by_factor.setdefault(factor, []).append(parameter)

    @property
    def captured(self) -> bool:
        """Whether steps are replays of a graph by now."""
        return self._graph is not None

    def _fused(self) -> AbstractContextManager[object]:
        """Fuse meanwhile, if this step is captured, or the last one before that, in which kernels are compiled."""
        last = self._side is not None and self._steps >= EAGER_STEPS
        return self._fusing.within() if last and self._fusing is not None else nullcontext()

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
        """Train on a batch; all batches have one shape, and the device is the current one."""
        self._steps += 1
        if self._graph is not None:
            self._inputs_BCHW.copy_(inputs_BCHW)
            self._labels_B.copy_(labels_B)
            self._graph.replay()
            return
        # Asked for at every step: an earlier failure of another training ends all capturing.
        self._side = side_for(self, self._device) if self._capture else None
        if self._side is None:
            self._eager(inputs_BCHW, labels_B)
        elif self._steps <= EAGER_STEPS:
            with self._side.warming():
                self._eager(inputs_BCHW, labels_B)
        else:
            self._captured(self._side, inputs_BCHW, labels_B)

    def _eager(self, inputs_BCHW: Tensor, labels_B: Tensor) -> None:
        self._optimizer.zero_grad(set_to_none=True)
        self._train(inputs_BCHW, labels_B)

    def _train(self, inputs_BCHW: Tensor, labels_B: Tensor) -> None:
        with self._fused():
            logits_TBK = logits_of(self._network, inputs_BCHW, self._precision)
        heads = len(logits_TBK)
        # All heads in one call: 0.8 ms a step less than a call a head, for ten heads on a CPU.
        labels_M = labels_B.repeat(heads)
        losses_M = functional.cross_entropy(
            logits_TBK.flatten(0, 1), labels_M, label_smoothing=self._label_smoothing, reduction="none"
        )
        losses_T = weighted(losses_M, labels_M, self._class_weights_K).view(heads, -1).mean(dim=1)
        loss = (losses_T if self._weights_T is None else losses_T * self._weights_T).sum()
        (loss if self._scaler is None else self._scaler.scale(loss)).backward()  # type: ignore[no-untyped-call]
        for factor, parameters in self._by_factor.items():
            torch._foreach_mul_([p.grad for p in parameters if p.grad is not None], factor)
        if self._grad_clip is not None:
            if self._scaler is not None:
                self._scaler.unscale_(self._optimizer)
            nn.utils.clip_grad_norm_(self._network.parameters(), self._grad_clip)
        if self._scaler is None:
            self._optimizer.step()
        else:
            self._scaler.step(self._optimizer)
            self._scaler.update()
        with torch.no_grad():
            if self._losses_T is None or self._finite_T is None:
                self._losses_T, self._finite_T = torch.zeros_like(losses_T), torch.zeros_like(losses_T)
            self._losses_T += losses_T
            # Once one loss is infinite, the sum stays so.
            self._finite_T += self._losses_T.isfinite()

    def _captured(self, side: Side, inputs_BCHW: Tensor, labels_B: Tensor) -> None:
        """Capture a step, which does not execute it, and replay it for this batch."""
        self._inputs_BCHW, self._labels_B = inputs_BCHW.clone(), labels_B.clone()
        self._optimizer.zero_grad(set_to_none=True)
        self._graph = captured(side, partial(self._train, self._inputs_BCHW, self._labels_B))
        if self._graph is not None:
            self._graph.replay()
            return
        self._capture, self._side = False, None
        if self._scaler is not None:
            self._scaler = _scaler(self._optimizer, self._device, self._scaler.state_dict())
        self._eager(inputs_BCHW, labels_B)

    def state_dict(self) -> dict[str, Any]:
        """What later steps depend on, beside network and optimiser."""
        return {} if self._scaler is None else self._scaler.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """The inverse of state_dict; what was captured is dropped."""
        self.reset()
        if self._scaler is not None and state:
            self._scaler = _scaler(self._optimizer, self._device, state)


def _scaler(
    optimizer: torch.optim.Optimizer, device: torch.device, state: Mapping[str, Any] | None = None
) -> torch.amp.GradScaler:
    """A factor on the losses that falls where gradients overflow, and rises where they do not, on the device.

    Where the very first gradients overflow, which is how the factor is found, the optimiser skips the step that would
    make its momentum, and goes on with memory as it was: so momentum is made here, as zeros, which changes no step.
    A scaler that was left in the middle of a step is replaced by one of its state.
    """
    scaler = torch.amp.GradScaler(device.type)
    if state is not None:
        scaler.load_state_dict(dict(state))
    for name in ("grad_scale", "found_inf"):
        if hasattr(optimizer, name):
            delattr(optimizer, name)
    for group in optimizer.param_groups:
        for parameter in group["params"] if group.get("momentum") else ():
            if optimizer.state[parameter].get("momentum_buffer") is None:
                optimizer.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)
    return scaler


def logits_of(network: nn.Module, inputs_BCHW: Tensor, precision: Precision | None = None) -> Tensor:
    """Logits of every head, (T, B, K) in float32, computed as is fast on the device unless `precision` says how."""
    device = inputs_BCHW.device
    with (precision or Precision.of(device)).cast(device):
        logits_TBK: Tensor = network(inputs_BCHW)
    return logits_TBK.float()
