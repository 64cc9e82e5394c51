"""Training: one loop for all networks, its step, and the machine that it runs on."""

from replaytree.training.device import available_devices, resolve_device, why_no_gpu
from replaytree.training.precision import Precision
from replaytree.training.recipe import Recipe
from replaytree.training.threads import Threads, using

__all__ = ["Precision", "Recipe", "Threads", "available_devices", "resolve_device", "using", "why_no_gpu"]
