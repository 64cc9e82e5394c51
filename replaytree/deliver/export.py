"""Exports. Each is made in memory, compared with its model, and written only if they are equal.

Shapes: N images, C channels, H rows, W columns, K classes.
"""

from __future__ import annotations

import runpy
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from replaytree.data import NAMED, TEXTS, Data, ImageData, TextData
from replaytree.deliver.deployed import Deployed, accuracy, batched_logits
from replaytree.deliver.deployed_text import ROWS, DeployedText, WordByWord, text_likelihood
from replaytree.deliver.description import Description
from replaytree.deliver.int8 import INT8_FLAGS, Int8Options, int8_export
from replaytree.deliver.made import AnyDeployed
from replaytree.deliver.model import Model
from replaytree.deliver.onnx_file import onnx_content, onnx_model
from replaytree.deliver.pt2_file import own_pt2, pt2_content, run_own_pt2
from replaytree.deliver.python_source import python_source
from replaytree.deliver.text_model import TextModel
from replaytree.deliver.text_source import text_source
from replaytree.deliver.verification import Verification, require_equal
from replaytree.deliver.weights import read_weights, weights_content, weights_of_python
from replaytree.deliver.writing import require_target, write_whole
from replaytree.errors import ConfigError

ExportFormat = Literal["onnx", "onnx-int8", "pt2", "safetensors", "python", "tflite"]
EXPORT_FORMATS: tuple[ExportFormat, ...] = get_args(ExportFormat)
# The forms that equal their model.
SUFFIX: dict[ExportFormat, str] = {
    "onnx": ".onnx",
    "pt2": ".pt2",
    "safetensors": ".safetensors",
    "python": ".py",
}
# Those that are near to it (int8.py).
INT8_SUFFIX: dict[ExportFormat, str] = {"onnx-int8": ".onnx", "tflite": ".tflite"}
# Of a text that an export reads word by word: more columns are faster.
COLUMNS = 64


def export(
    weights: Path,
    out: Path,
    *,
    form: ExportFormat,
    data: Data,
    mirror: bool = False,
    force: bool = False,
    int8: Int8Options | None = None,
) -> Verification:
    """Write the model of a safetensors file in another form, and verify it on the validation part of `data`.

    With `mirror` each prediction is the mean over an image and its mirror image. A python export is two files, `out`
    and its weights beside it (`net.py.safetensors`). No path of this machine is written. Raises ConfigError for a name
    that is taken or has the wrong suffix, and ModelError if the export does not equal the model; then no file is left
    behind. A form of INT8_SUFFIX is near to its model: `int8` says what it is made with and may lose.
    """
    if int8 is not None and form not in INT8_SUFFIX:
        raise ConfigError(f"--format {form} is not of 8 bits, so there is nothing to calibrate; leave out {INT8_FLAGS}")
    targets = _targets(out, form)
    for target in targets:
        require_target(target, force=force)
        if target.exists() and weights.exists() and target.samefile(weights):
            raise ConfigError(f"out is {target}, the model that is exported; choose another --out")
    network, described = read_weights(weights)
    _require_same(weights, described, data, mirror=mirror)
    network.mirror = mirror
    description = replace(described, mirror=mirror, data=_without_paths(described))
    if form in INT8_SUFFIX:
        if not isinstance(network, Deployed) or not isinstance(data, ImageData):
            raise ConfigError(
                f"--format {form} is for models of images, and {weights} is one of text; choose --format onnx, which "
                f"is in float"
            )
        content, verification = int8_export(out, network, description, data, form=form, options=int8 or Int8Options())
        write_whole(out, content)
        return verification
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
    # An .onnx file is in float unless --format says otherwise: that form comes first.
    known = [*SUFFIX.items(), *INT8_SUFFIX.items()]
    for form, suffix in known:
        if out.suffix.lower() == suffix:
            return form
    suffixes = dict.fromkeys(suffix for _, suffix in known)
    raise ConfigError(f"out is {out}; the name of the file must end in {', '.join(suffixes)} (--out)")


def _targets(out: Path, form: ExportFormat) -> tuple[Path, ...]:
    suffix = (SUFFIX | INT8_SUFFIX)[form]
    if out.suffix.lower() != suffix:
        raise ConfigError(f"out is {out}; the name of a file of --format {form} must end in {suffix}")
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
    require_equal(result, is_finite=bool(torch.isfinite(found_NK).all()))
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
    require_equal(result, is_finite=bool(torch.isfinite(found_TBV).all()))
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
