"""Exports. Each is written under another name, proved equal to its model, and only then put in its place.

Shapes: N images, C channels, H rows, W columns, K classes.
"""

from __future__ import annotations

import os
import runpy
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import torch
from torch import Tensor

from replaytree.data import ImageData
from replaytree.deliver.deployed import Deployed, accuracy, batched_logits
from replaytree.deliver.description import Description
from replaytree.deliver.load import load
from replaytree.deliver.onnx_file import write_onnx
from replaytree.deliver.pt2_file import run_own_pt2, write_pt2
from replaytree.deliver.python_source import python_source
from replaytree.deliver.weights import read_weights, write_weights
from replaytree.errors import ConfigError, ModelError

ExportFormat = Literal["onnx", "pt2", "safetensors", "python"]
EXPORT_FORMATS: tuple[ExportFormat, ...] = get_args(ExportFormat)
SUFFIX: dict[ExportFormat, str] = {
    "onnx": ".onnx",
    "pt2": ".pt2",
    "safetensors": ".safetensors",
    "python": ".py",
}
TOLERANCE = 1e-4


@dataclass(frozen=True, slots=True)
class Verification:
    """How an export compares with its model, on the validation images. `files` are what was written."""

    files: tuple[Path, ...]
    images: int
    model_accuracy: float
    export_accuracy: float
    differing_predictions: int
    largest_difference: float

    @property
    def text(self) -> str:
        """The comparison as a sentence."""
        return (
            f"verified on {self.images} validation images: accuracy {self.export_accuracy:.4f} "
            f"(PyTorch {self.model_accuracy:.4f}), {self.differing_predictions} predictions differ, "
            f"outputs within {self.largest_difference:.1e}"
        )


def export(weights: Path, out: Path, *, form: ExportFormat, data: ImageData, force: bool = False) -> Verification:
    """Write the model of a safetensors file in another form, and verify it on the validation images of `data`.

    A python export is two files, `out` and its weights beside it. Raises ConfigError for a name that is taken or of
    another suffix, ModelError where the export does not equal the model; then nothing is left behind.
    """
    targets = _targets(out, form)
    for target in targets:
        if target.exists() and not force:
            raise ConfigError(f"{target} exists; choose another --out, or give --force to replace it")
    if not out.parent.is_dir():
        raise ConfigError(f"the folder {out.parent} does not exist; make it, or choose another --out")
    network, description = read_weights(weights)
    if data.classes != description.classes or data.image_shape != description.input_shape:
        raise ConfigError(f"the validation images are not those of {weights}: their classes or shape differ")
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=".replaytree-") as folder:
        drafts = [Path(folder) / target.name for target in targets]
        run = _write(drafts, form, network, description)
        verification = _verify(network, run, data, targets)
        for draft, target in zip(drafts, targets, strict=True):
            os.replace(draft, target)
    return verification


def _targets(out: Path, form: ExportFormat) -> tuple[Path, ...]:
    if out.suffix.lower() != SUFFIX[form]:
        raise ConfigError(f"out is {out}; the name of a file of --format {form} must end in {SUFFIX[form]}")
    return (out, out.with_suffix(".safetensors")) if form == "python" else (out,)


def _write(
    drafts: list[Path], form: ExportFormat, network: Deployed, description: Description
) -> Callable[[Tensor], Tensor]:
    """Write the export; how to get logits from what was written."""
    draft = drafts[0]
    if form == "onnx":
        write_onnx(draft, network, description)
    elif form == "pt2":
        write_pt2(draft, network, description)
        return lambda images_NCHW: run_own_pt2(draft, images_NCHW)
    elif form == "safetensors":
        write_weights(draft, network, description)
    else:
        write_weights(drafts[1], network, description)
        draft.write_text(python_source(description, weights=drafts[1]), encoding="utf-8")
        # What this process has just written is the one Python file that is ever run here.
        own = runpy.run_path(str(draft))["load"]()
        return lambda images_NCHW: batched_logits(own, images_NCHW)
    return load(draft).logits


def _verify(
    network: Deployed, run: Callable[[Tensor], Tensor], data: ImageData, files: tuple[Path, ...]
) -> Verification:
    images_NCHW, labels_N = data.val_images.cpu(), data.val_labels
    expected_NK, found_NK = batched_logits(network, images_NCHW), run(images_NCHW)
    result = Verification(
        files=files,
        images=len(labels_N),
        model_accuracy=accuracy(expected_NK, labels_N),
        export_accuracy=accuracy(found_NK, labels_N),
        differing_predictions=int((expected_NK.argmax(dim=1) != found_NK.argmax(dim=1)).sum()),
        largest_difference=float((expected_NK - found_NK).abs().max()),
    )
    if not torch.isfinite(found_NK).all() or result.largest_difference > TOLERANCE:
        raise ModelError(
            f"the export to {files[0]} does not equal its model: its outputs differ by up to "
            f"{result.largest_difference:.1e}, more than {TOLERANCE:.0e}; nothing was written. Try another --format"
        )
    if result.model_accuracy != result.export_accuracy:
        raise ModelError(
            f"the export to {files[0]} does not equal its model: accuracy {result.export_accuracy}, not "
            f"{result.model_accuracy}; nothing was written. Try another --format"
        )
    return result
