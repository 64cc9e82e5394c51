"""Exports. Each is made in memory, compared with its model, and written only if they are equal.

Shapes: N images, C channels, H rows, W columns, K classes.
"""

from __future__ import annotations

import runpy
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, get_args

import torch
from torch import Tensor

from replaytree.data import NAMED, ImageData
from replaytree.deliver.deployed import Deployed, accuracy, batched_logits
from replaytree.deliver.description import Description
from replaytree.deliver.onnx_file import onnx_content, onnx_model
from replaytree.deliver.pt2_file import pt2_content, run_own_pt2
from replaytree.deliver.python_source import python_source
from replaytree.deliver.weights import read_weights, weights_content, weights_of_python
from replaytree.deliver.writing import require_target, write_whole
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
    """How an export compares with its model on the validation images. `files` were written and have `nbytes`."""

    files: tuple[Path, ...]
    description: Description
    nbytes: int
    images: int
    model_accuracy: float
    export_accuracy: float
    differing_predictions: int
    largest_difference: float

    @property
    def text(self) -> str:
        """The comparison as a sentence. It has no accuracy: the model may have been trained on these images."""
        return (
            f"verified on {self.images} images: {self.differing_predictions} predictions differ from PyTorch's, "
            f"outputs within {self.largest_difference:.1e}"
        )

    @property
    def cost(self) -> str:
        """The cost of the export, beside the limits of the search."""
        made = self.description
        return (
            f"{made.params:,} parameters{_at_most(made.max_params)}, {made.flops:,} multiply-adds an "
            f"image{_at_most(made.max_flops)}, {self.nbytes:,} bytes"
        )

    @property
    def broken_limits(self) -> tuple[str, ...]:
        """A sentence for each limit of the search that the export exceeds."""
        made = self.description
        found = []
        if made.max_params is not None and made.params > made.max_params:
            found.append(f"{made.params:,} parameters are more than the search was limited to ({made.max_params:,})")
        if made.max_flops is not None and made.flops > made.max_flops:
            mirror = "; the mirror image doubles them: leave out --mirror" if made.mirror else ""
            found.append(
                f"{made.flops:,} multiply-adds an image are more than the search was limited to "
                f"({made.max_flops:,}){mirror}"
            )
        return tuple(found)


def export(
    weights: Path, out: Path, *, form: ExportFormat, data: ImageData, mirror: bool = False, force: bool = False
) -> Verification:
    """Write the model of a safetensors file in another form, and verify it on the validation images of `data`.

    With `mirror` each prediction is the mean over an image and its mirror image. A python export is two files, `out`
    and its weights beside it (`net.py.safetensors`). No path of this machine is written. Raises ConfigError for a name
    that is taken or has the wrong suffix, and ModelError if the export does not equal the model; then no file is left
    behind.
    """
    targets = _targets(out, form)
    for target in targets:
        require_target(target, force=force)
        if target.exists() and weights.exists() and target.samefile(weights):
            raise ConfigError(f"out is {target}, the model that is exported; choose another --out")
    network, described = read_weights(weights)
    if data.classes != described.classes or data.image_shape != described.input_shape:
        raise ConfigError(f"the validation images are not those of {weights}: their classes or shape differ")
    network.mirror = mirror
    description = replace(described, mirror=mirror, data=_without_paths(described))
    contents = _contents(targets, form, network, description)
    verification = _verify(network, description, contents, form, data)
    for target, content in contents.items():
        write_whole(target, content)
    return verification


def format_of(out: Path) -> ExportFormat:
    """The form that the name of a file stands for; ConfigError for one that stands for none."""
    for form, suffix in SUFFIX.items():
        if out.suffix.lower() == suffix:
            return form
    raise ConfigError(f"out is {out}; the name of the file must end in {', '.join(SUFFIX.values())} (--out)")


def _targets(out: Path, form: ExportFormat) -> tuple[Path, ...]:
    if out.suffix.lower() != SUFFIX[form]:
        raise ConfigError(f"out is {out}; the name of a file of --format {form} must end in {SUFFIX[form]}")
    # The weights first: a Python file without them would be useless.
    return (weights_of_python(out), out) if form == "python" else (out,)


def _without_paths(description: Description) -> dict[str, object] | None:
    data = description.data
    return data if data is not None and data.get("dataset") in NAMED else None


def _contents(
    targets: tuple[Path, ...], form: ExportFormat, network: Deployed, description: Description
) -> dict[Path, bytes]:
    if form == "onnx":
        return {targets[0]: onnx_content(network, description)}
    if form == "pt2":
        return {targets[0]: pt2_content(network, description)}
    contents = {targets[0]: weights_content(network, description)}
    if form == "python":
        contents[targets[1]] = python_source(description, weights=targets[0]).encode()
    return contents


def _run(contents: dict[Path, bytes], form: ExportFormat, images_NCHW: Tensor, *, batch: int) -> Tensor:
    """Logits of the export that is about to be written."""
    first = next(iter(contents.values()))
    if form == "onnx":
        return onnx_model(first, origin="the export").logits(images_NCHW)
    if form == "pt2":
        return run_own_pt2(first, images_NCHW, batch=batch)
    with tempfile.TemporaryDirectory(prefix="replaytree-") as folder:
        drafts = [Path(folder) / target.name for target in contents]
        for draft, content in zip(drafts, contents.values(), strict=True):
            draft.write_bytes(content)
        # The only Python file that is ever run here is one that this process has just written.
        own = runpy.run_path(str(drafts[1]))["load"]() if form == "python" else read_weights(drafts[0])[0]
    return batched_logits(own, images_NCHW, batch=batch)


def _verify(
    network: Deployed, description: Description, contents: dict[Path, bytes], form: ExportFormat, data: ImageData
) -> Verification:
    images_NCHW, labels_N = data.val_images.cpu(), data.val_labels
    expected_NK = batched_logits(network, images_NCHW, batch=network.batch)
    found_NK = _run(contents, form, images_NCHW, batch=network.batch)
    # The requested file comes first.
    files = tuple(reversed(contents))
    result = Verification(
        files=files,
        description=description,
        nbytes=sum(map(len, contents.values())),
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


def _at_most(limit: int | None) -> str:
    return "" if limit is None else f" (at most {limit:,})"
