"""Exports. Each is made in memory, compared with its model, and written only if they are equal.

Shapes: N images, C channels, H rows, W columns, K classes.
"""

from __future__ import annotations

import math
import runpy
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from replaytree.data import NAMED, TEXTS, Data, ImageData, TextData
from replaytree.deliver.deployed import Deployed, accuracy, batched_logits
from replaytree.deliver.deployed_text import ROWS, DeployedText, WordByWord, text_likelihood
from replaytree.deliver.description import Description
from replaytree.deliver.made import AnyDeployed
from replaytree.deliver.model import Model
from replaytree.deliver.onnx_file import onnx_content, onnx_model
from replaytree.deliver.pt2_file import own_pt2, pt2_content, run_own_pt2
from replaytree.deliver.python_source import python_source
from replaytree.deliver.text_model import TextModel
from replaytree.deliver.text_source import text_source
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
# Of a text that an export reads word by word: more columns are faster.
COLUMNS = 64


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
            f"verified on {self.images} {self.description.metric.items}: {self._perplexity}"
            f"{self.differing_predictions} predictions differ from PyTorch's, "
            f"outputs within {self.largest_difference:.1e}"
        )

    @property
    def cost(self) -> str:
        """The cost of the export, beside the limits of the search."""
        made = self.description
        return (
            f"{made.params:,} parameters{_at_most(made.max_params)}, {made.flops:,} multiply-adds "
            f"{made.metric.each}{_at_most(made.max_flops)}, {self.nbytes:,} bytes"
        )

    @property
    def _perplexity(self) -> str:
        """Of text what both came to: the validation words are not trained on."""
        metric = self.description.metric
        if not metric.is_inverse:
            return ""
        found = [metric.shown(each) for each in (self.model_accuracy, self.export_accuracy)]
        return f"perplexity {found[1]}, PyTorch's {found[0]}; "

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
                f"{made.flops:,} multiply-adds {made.metric.each} are more than the search was limited to "
                f"({made.max_flops:,}){mirror}"
            )
        return tuple(found)


def export(
    weights: Path, out: Path, *, form: ExportFormat, data: Data, mirror: bool = False, force: bool = False
) -> Verification:
    """Write the model of a safetensors file in another form, and verify it on the validation part of `data`.

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
    _require_same(weights, described, data, mirror=mirror)
    network.mirror = mirror
    description = replace(described, mirror=mirror, data=_without_paths(described))
    contents = _contents(targets, form, network, description)
    if isinstance(network, DeployedText):
        assert isinstance(data, TextData), "a model of text is verified on text"
        verification = _verify_text(network, description, contents, form, data)
    else:
        assert isinstance(data, ImageData), "a model of images is verified on images"
        verification = _verify(network, description, contents, form, data)
    for target, content in contents.items():
        write_whole(target, content)
    return verification


def _require_same(weights: Path, described: Description, data: Data, *, mirror: bool) -> None:
    """ConfigError where the data are not those of the model, or have no mirror image."""
    metric = described.metric
    if mirror and metric.task == "text":
        raise ConfigError("--mirror is for images, and this is a model of text; leave it out")
    classes = data.classes if isinstance(data, ImageData) else data.words
    if classes != described.classes or data.input_shape != described.input_shape:
        what = "words" if metric.task == "text" else "classes or shape"
        raise ConfigError(f"the validation {metric.items} are not those of {weights}: their {what} differ")


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
    return data if data is not None and data.get("dataset") in (*NAMED, *TEXTS) else None


def _contents(
    targets: tuple[Path, ...], form: ExportFormat, network: AnyDeployed, description: Description
) -> dict[Path, bytes]:
    if form == "onnx":
        return {targets[0]: onnx_content(network, description)}
    if form == "pt2":
        return {targets[0]: pt2_content(network, description)}
    contents = {targets[0]: weights_content(network, description)}
    if form == "python":
        source = text_source if isinstance(network, DeployedText) else python_source
        contents[targets[1]] = source(description, weights=targets[0]).encode()
    return contents


def _run(contents: dict[Path, bytes], form: ExportFormat, images_NCHW: Tensor, *, batch: int) -> Tensor:
    """Logits of the export that is about to be written."""
    first = next(iter(contents.values()))
    if form == "onnx":
        model = onnx_model(first, origin="the export")
        assert isinstance(model, Model), "the export of a model of images is one"
        return model.logits(images_NCHW)
    if form == "pt2":
        return run_own_pt2(first, images_NCHW, batch=batch)
    return batched_logits(_own(contents, form), images_NCHW, batch=batch)


def _own(contents: dict[Path, bytes], form: ExportFormat) -> Any:
    """The network of the safetensors or Python file that is about to be written."""
    with tempfile.TemporaryDirectory(prefix="replaytree-") as folder:
        drafts = [Path(folder) / target.name for target in contents]
        for draft, content in zip(drafts, contents.values(), strict=True):
            draft.write_bytes(content)
        # The only Python file that is ever run here is one that this process has just written.
        return runpy.run_path(str(drafts[1]))["load"]() if form == "python" else read_weights(drafts[0])[0]


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
    _require_equal(result, is_finite=bool(torch.isfinite(found_NK).all()))
    return result


def _verify_text(
    network: DeployedText, description: Description, contents: dict[Path, bytes], form: ExportFormat, data: TextData
) -> Verification:
    """On all validation words, read in COLUMNS columns; outputs are compared word by word on the first chunk."""
    words_N = data.val_N.cpu()
    exported = _language_model(contents, form, description)
    columns = min(COLUMNS, len(words_N) - 1)
    rows = min(ROWS, len(words_N) // columns)
    first_TB = words_N[: rows * columns].view(columns, rows).T
    with torch.no_grad():
        zeros_SBH = torch.zeros(description.cell.states, columns, description.cell.hidden)
        expected_TBV, found_TBV = (model(first_TB, zeros_SBH)[0] for model in (network.network.eval(), exported))
    result = Verification(
        files=tuple(reversed(contents)),
        description=description,
        nbytes=sum(map(len, contents.values())),
        images=len(words_N) - 1,
        model_accuracy=text_likelihood(network.network, words_N, columns=columns),
        export_accuracy=text_likelihood(exported, words_N, columns=columns),
        differing_predictions=int((expected_TBV.argmax(dim=2) != found_TBV.argmax(dim=2)).sum()),
        largest_difference=float((expected_TBV - found_TBV).abs().max()),
    )
    _require_equal(result, is_finite=bool(torch.isfinite(found_TBV).all()))
    return result


def _language_model(contents: dict[Path, bytes], form: ExportFormat, description: Description) -> nn.Module:
    """The export that is about to be written, as a language model of many words at once."""
    first = next(iter(contents.values()))
    if form == "onnx":
        model = onnx_model(first, origin="the export")
        assert isinstance(model, TextModel), "the export of a model of text is one"
        return model.network
    if form == "pt2":
        program = own_pt2(first)
        # Not as a part of a network: such a graph has no train() and eval().
        return WordByWord(description.cell, program.__call__)
    own = _own(contents, form)
    network: nn.Module = own.network if isinstance(own, DeployedText) else own
    return network


def _require_equal(result: Verification, *, is_finite: bool) -> None:
    """ModelError where an export does not equal its model."""
    metric, out = result.description.metric, result.files[0]
    if not is_finite or result.largest_difference > TOLERANCE:
        raise ModelError(
            f"the export to {out} does not equal its model: its outputs differ by up to "
            f"{result.largest_difference:.1e}, more than {TOLERANCE:.0e}; nothing was written. Try another --format"
        )
    ends = result.model_accuracy, result.export_accuracy
    # Perplexities are sums of rounded losses; an accuracy counts images.
    same = math.isclose(*ends, rel_tol=TOLERANCE) if metric.is_inverse else ends[0] == ends[1]
    if not same:
        found, expected = (metric.number(each) for each in reversed(ends))
        raise ModelError(
            f"the export to {out} does not equal its model: {metric.name} {found}, not {expected}; nothing was "
            f"written. Try another --format"
        )


def _at_most(limit: int | None) -> str:
    return "" if limit is None else f" (at most {limit:,})"
