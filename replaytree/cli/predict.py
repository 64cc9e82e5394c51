"""`replaytree predict`: the classes of pictures, the next words of a text, or the perplexity of text files."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from replaytree.cli import console
from replaytree.cli.options import Format, engine_of, names_there, whole
from replaytree.cli.text import escaped, say
from replaytree.errors import ConfigError

if TYPE_CHECKING:
    from replaytree.deliver import Model, Predictions, TextModel


def predict(
    model: Annotated[
        Path, typer.Argument(help="A .safetensors, .onnx, .pt2, .py or .tflite file that replaytree wrote.")
    ],
    files: Annotated[
        list[Path] | None,
        typer.Argument(
            help="Pictures, folders of them, or .npy and .npz files of images; for a model of text, text files.",
            metavar="FILES...",
            show_default=False,
        ),
    ] = None,
    text: Annotated[
        str | None, typer.Option(help="A model of text: the words whose next one is predicted.", metavar="TEXT")
    ] = None,
    top_k: Annotated[int, whole("Classes to show for each picture, or next words.", "--top-k", "-k")] = 1,
    format_: Format = "table",
) -> None:
    """Predict the classes of pictures, the next words of --text, or tell the perplexity of text files.

    Exit code 1 if some files cannot be read, 2 if none can.
    """
    from replaytree.deliver import Model, load

    given = files or []
    _require_no_search(model, given)
    loaded = load(model)
    if isinstance(loaded, Model):
        if text is not None:
            raise ConfigError(f"--text is for models of text, and {model} is one of images; give pictures")
        if not given:
            raise ConfigError("there is nothing to predict: give pictures, or folders of them")
        _predict_pictures(loaded, given, top_k=top_k, form=format_)
        return
    if (text is None) == (not given):
        raise ConfigError(
            f"{model} is a model of text: give either text files or --text, whose next words are predicted"
        )
    if text is not None:
        _predict_words(loaded, text, top_k=top_k, form=format_)
    else:
        _print_perplexities(loaded, given, form=format_)


def _require_no_search(model: Path, given: Sequence[Path]) -> None:
    """ConfigError, with the command that works, where the name of a search here stands for the model."""
    if model.exists() or str(model) not in names_there(None):
        return
    from replaytree.tree import list_models

    files = [Path(each.weights_path) for each in list_models(engine_of(None), search=str(model)) if not each.baseline]
    there = [file for file in files if file.exists()]
    what = f"{model} is a search, and predict takes the file of a model"
    if not there:
        raise ConfigError(f"{what}; `{console.command('retrain', model)}` makes one")
    raise ConfigError(f"{what}; its last one: `{console.command('predict', there[-1], *given)}`")


def _predict_pictures(model: Model, given: list[Path], *, top_k: int, form: Format) -> None:
    from replaytree.deliver import picture_inputs, predict_pictures

    inputs = picture_inputs(given)
    predictions = predict_pictures(model, inputs.files, top_k=top_k)
    bad = list(zip(predictions.unreadable, predictions.why, strict=True))
    if predictions.readable or not (inputs.bad or bad):
        _print_predictions(predictions, form)
    _end(bad, len(predictions.readable), "images", beside=inputs.bad)


def _predict_words(model: TextModel, text: str, *, top_k: int, form: Format) -> None:
    found = model.next_words(text, top_k=top_k)
    _tell_unknown(found.unknown, "the text")
    rows: list[dict[str, Any]] = [
        {"rank": rank, "word": word, "probability": round(probability, 6)}
        for rank, (word, probability) in enumerate(zip(found.words, found.probabilities, strict=True), start=1)
    ]
    _print_rows(rows, ("word", "probability"), form)


def _print_perplexities(model: TextModel, files: list[Path], *, form: Format) -> None:
    from replaytree.deliver import read_text_file
    from replaytree.errors import DataError

    rows: list[dict[str, Any]] = []
    bad = []
    for file in files:
        try:
            found = model.perplexity(read_text_file(file))
        except DataError as error:
            bad.append((file, str(error)))
            continue
        _tell_unknown(found.unknown, str(file))
        rows.append({"file": str(file), "perplexity": found.perplexity, "words": found.count, "unknown": found.unknown})
    if rows:
        _print_rows(rows, ("file", "perplexity", "words"), form)
    _end(bad, len(rows), "texts")


def _tell_unknown(count: int, where: str) -> None:
    if count:
        words = console.counting(count, "word")
        say(
            f"note: {words} of {escaped(where)} {'is' if count == 1 else 'are'} not in the vocabulary: <unk>",
            error=True,
        )


def _end(bad: Sequence[tuple[Path, str]], count: int, items: str, *, beside: Sequence[tuple[Path, str]] = ()) -> None:
    """Name the files that cannot be read, and end with their exit code; `beside` are paths that are no such items."""
    for file, reason in (*beside, *bad):
        say(f"cannot be read: {escaped(file)}: {escaped(reason)}", error=True)
    if bad and len(bad) + count > 1:
        say(f"{len(bad)} of {len(bad) + count} {items} cannot be read", error=True)
    if bad or beside:
        raise typer.Exit(1 if count else 2)


def _print_predictions(predictions: Predictions, form: Format) -> None:
    rows: list[dict[str, Any]] = [
        {"file": str(each.file), "rank": rank, "class": label, "probability": round(probability, 6)}
        for each in predictions.readable
        for rank, (label, probability) in enumerate(zip(each.classes, each.probabilities, strict=True), start=1)
    ]
    _print_rows(rows, ("file", "class", "probability"), form)


def _print_rows(rows: list[dict[str, Any]], shown: tuple[str, ...], form: Format) -> None:
    """All columns for programs; those `shown` for people, a file's name once."""
    if form == "json":
        say(json.dumps(rows, indent=2, allow_nan=False))
    elif form == "csv":
        text = io.StringIO()
        writer = csv.DictWriter(text, list(rows[0]) if rows else ["file", "rank", *shown[1:]], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        say(text.getvalue().removesuffix("\n"))
    elif rows:
        from rich.table import Table

        table = Table(box=None, pad_edge=False)
        for name in shown:
            is_text = isinstance(rows[0][name], str)
            table.add_column(
                name, overflow="fold" if name == "file" else "ellipsis", justify="left" if is_text else "right"
            )
        for row in rows:
            table.add_row(*[_cell(row, name) for name in shown])
        console.stdout().print(table)


def _cell(row: dict[str, Any], name: str) -> str:
    value = row[name]
    if name == "file":
        return escaped(value) if row.get("rank", 1) == 1 else ""
    if name == "perplexity":
        return f"{value:,.2f}"
    if isinstance(value, float):
        return f"{value:.4f}"
    return f"{value:,}" if isinstance(value, int) else escaped(value)
