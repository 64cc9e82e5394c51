"""What whole trainings cost on a GPU: short ones, a plain loop, a search, a retraining, large batches."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from statistics import mean, median
from tempfile import TemporaryDirectory
from typing import Any

import torch
from scipy.stats import kendalltau

from replaytree.bench.evaluator import plain_loop, tree_paths
from replaytree.bench.gpu.bench import Bench
from replaytree.config import Budget
from replaytree.config.retraining import RetrainOptions
from replaytree.deliver.retrain import Retraining
from replaytree.deliver.subject import Subject
from replaytree.evaluate import Concurrent, JointEvaluator
from replaytree.networks.trie import SingleHead
from replaytree.search.search import Search
from replaytree.search.turns import Progress
from replaytree.training import Recipe
from replaytree.training.capture import release_memory
from replaytree.training.loop import Training

# The search of the poster.
TRAININGS = 437


def trainings(bench: Bench) -> dict[str, Any]:
    """Thirty short trainings: seconds of each beyond its steps, and the memory that is reserved after it."""
    count, batch = 3 if bench.small else 30, bench.usual
    paths = tree_paths(bench.space, depth=2 if bench.small else 10, count=count, seed=1)
    recipe = bench.recipe(batch, 0.1)
    evaluator = JointEvaluator(bench.space, bench.data, recipe=recipe, device=bench.device)
    # What steps before it keep would hide a growth.
    release_memory(bench.device)
    rows = []
    for path in paths:
        if bench.late:
            break
        whole = bench.seconds(lambda path=path: evaluator.evaluate([path], budget=Budget(1), seed=0))  # type: ignore[misc]
        training = Training(bench.network([path]), bench.data, epochs=2, recipe=recipe, seed=0)
        training.run(until=1)
        own = bench.seconds(lambda training=training: training.run(until=2))  # type: ignore[misc]
        reserved = torch.cuda.memory_reserved(bench.device) if bench.device.type == "cuda" else None
        rows.append({"seconds": whole, "beyond": whole - own, "reserved": reserved})
    return {"batch": batch, "median_beyond": median([row["beyond"] or 0.0 for row in rows] or [0.0]), "rows": rows}


def concurrent(bench: Bench) -> dict[str, Any]:
    """Seconds of eight trainings, 1, 2, 4 and 8 of them at once, and by how much an accuracy differs from 1 at once."""
    epochs, layers = (1, 2) if bench.small else (2, 10)
    paths = tree_paths(bench.space, depth=layers, count=8, seed=4)
    recipe, gpu = bench.recipe(bench.usual, 0.4), bench.device.type == "cuda"
    evaluator = JointEvaluator(bench.space, bench.data, recipe=recipe, device=bench.device)

    def trained(at_once: int) -> list[float]:
        workers = Concurrent(evaluator, at_once=at_once, ahead=at_once, device=bench.device)
        found: dict[int, Sequence[float | None]] = {}
        waiting = list(enumerate(paths))
        while len(found) < len(paths):
            while waiting and workers.free:
                number, path = waiting.pop(0)
                workers.submit(number, [path], budget=Budget(epochs), seed=number)
            number, outcome = workers.next()
            if isinstance(outcome, Exception):
                raise outcome
            found[number] = outcome[0].accuracies
        workers.close()
        return [accuracy or 0.0 for number in sorted(found) for accuracy in found[number]]

    evaluator.evaluate(paths[:1], budget=Budget(1), seed=0)
    rows: list[dict[str, Any]] = []
    scores: list[list[float]] = []
    for at_once in (1, 2, 4, 8):
        if bench.late:
            break
        if gpu:
            torch.cuda.reset_peak_memory_stats(bench.device)
        seconds = bench.seconds(lambda at_once=at_once: scores.append(trained(at_once)))  # type: ignore[misc]
        alike = len(scores[-1]) == len(scores[0])
        differences = [abs(a - b) for a, b in zip(scores[0], scores[-1], strict=True)] if alike else []
        rows.append({
            "at_once": at_once, "seconds": seconds, "times_faster": (rows[0]["seconds"] if rows else seconds) / seconds,
            "difference": max(differences, default=None),
            "reserved": torch.cuda.max_memory_reserved(bench.device) if gpu else None,
        })  # fmt: skip
    return {"batch": recipe.batch_size, "epochs": epochs, "layers": layers, "rows": rows}


def plain(bench: Bench) -> dict[str, Any]:
    """Seconds a path to score all its prefixes: a plain loop, a training a path, and 8 paths as a trie."""
    images, depth = (100, 2) if bench.small else (9_000, 10)
    data = bench.data
    data = replace(
        data,
        train_images=data.train_images[:images],
        train_labels=data.train_labels[:images],
        val_images=data.val_images[: images // 9],
        val_labels=data.val_labels[: images // 9],
    )
    paths = tree_paths(bench.space, depth=depth, count=8, seed=3)
    usual, large = (bench.recipe(bench.batches[0], 0.1), bench.recipe(bench.usual, 0.4))
    evaluator = JointEvaluator(bench.space, data, recipe=large, device=bench.device)
    evaluator.evaluate(paths[:1], budget=Budget(1), seed=0)
    ways: dict[str, tuple[Callable[[], object], int]] = {
        "plain": (lambda: plain_loop(bench.space, paths[0], data, recipe=usual, epochs=1, seed=0), 1),
        "joint": (lambda: [evaluator.evaluate([path], budget=Budget(1), seed=0) for path in paths], len(paths)),
        "trie": (lambda: evaluator.evaluate(paths, budget=Budget(1), seed=0), len(paths)),
    }
    seconds = {way: bench.seconds(run) / count for way, (run, count) in ways.items()}
    ratios = {way: seconds["plain"] / own for way, own in seconds.items()}
    return {"images": images, "layers": depth, "batch": [usual.batch_size, large.batch_size]} | {
        "seconds": seconds, "times_fewer": ratios,
    }  # fmt: skip


def search(bench: Bench) -> dict[str, Any]:
    """A search with the defaults of `run` on this device, up to TRAININGS or a half of the seconds that are left."""
    trainings, layers = (3, 3) if bench.small else (TRAININGS, 15)
    began, ends = time.perf_counter(), time.monotonic() + max(0.0, 0.5 * bench.left)
    seconds: list[float] = []

    def noted(_: Progress) -> None:
        seconds.append(time.perf_counter() - began)
        if not bench.small and time.monotonic() > ends:
            own.stop()

    with TemporaryDirectory() as folder:
        own = Search(
            data=bench.data.to("cpu"), storage=f"sqlite:///{folder}/bench.db", device=str(bench.device),
            width=bench.width, max_layers=layers,
        )  # fmt: skip
        own.run(trainings=trainings, on_turn=noted)
        spent = time.perf_counter() - began
        best = own.tree.best(1)
        count = own.training_count
        own.tree.engine.dispose()
    found = {"trainings": count, "seconds": spent, "until": seconds, "asked": trainings, "layers": layers}
    found |= {"best": best[0].average_accuracy if best else None, "path": best[0].labels if best else None}
    reserved = torch.cuda.max_memory_reserved(bench.device) if bench.device.type == "cuda" else None
    # The first trainings are shallow and short.
    half = seconds[len(seconds) // 2 :] or [spent]
    later = (half[-1] - half[0]) / max(1, len(half) - 1)
    return found | {"minutes_for_all": (spent + (trainings - count) * later) / 60, "peak_reserved": reserved}


def retraining(bench: Bench) -> dict[str, Any]:
    """The step of a retraining, eager and captured; then as many epochs of the poster's network as time is left for."""
    path = bench.paths["poster"]
    options = RetrainOptions(batch_size=32) if bench.small else RetrainOptions()
    recipe = Recipe.full(bench.data, options, device=bench.device.type)
    found: dict[str, Any] = {"batch": recipe.batch_size}
    for kind, capture in (("eager", False), ("captured", True)):
        network = SingleHead(bench.space.build(path, bench.data.num_classes))
        own = replace(recipe, capture=capture)
        training = Training(network, bench.data, epochs=2, recipe=own, seed=0)
        training.run(until=1)
        count = -(-len(bench.data.train_labels) // recipe.batch_size)
        found[f"{kind}_ms"] = bench.seconds(lambda training=training: training.run(until=2)) / count * 1e3  # type: ignore[misc]
    epoch = found["captured_ms"] / 1e3 * count
    # A tenth more images, since the validation images are trained on, too; and a tenth to spare.
    epochs = 2 if bench.small else max(1, min(200, int(0.8 * bench.left / epoch)))
    data = bench.data.to("cpu")
    source = None if bench.small else {"dataset": bench.dataset}
    labels = tuple(bench.space.label(path[:depth], action) for depth, action in enumerate(path))
    subject = Subject(bench.space.network(path), labels, data, source, data_dir=bench.data_dir)
    seconds = time.perf_counter()
    _, measured = Retraining(subject, recipe, epochs=epochs).run(0, device=bench.device)
    description = measured.description
    found |= {"epochs": epochs, "seconds": time.perf_counter() - seconds}
    return found | {"test_accuracy": description.test_accuracy, "validation_accuracy": description.validation_accuracy}


def faithfulness(bench: Bench) -> dict[str, Any]:
    """Whether large batches rank chains as batches of 64 do: accuracies, their mean and tau, at three rates."""
    count, epochs, large = (3, 1, 64) if bench.small else (6, 4, 512)
    paths = tree_paths(bench.space, depth=2 if bench.small else 10, count=count, seed=2)
    own: list[dict[str, Any]] = []
    usual = 16 if bench.small else 64
    # The first one twice, from another seed: noise alone.
    for batch, rate, seed in [(usual, 0.1, 0), (usual, 0.1, 1), (large, 0.1, 0), (large, 0.4, 0), (large, 0.8, 0)]:
        if bench.late:
            break
        evaluator = JointEvaluator(bench.space, bench.data, recipe=bench.recipe(batch, rate), device=bench.device)
        scores: list[float] = []
        seconds = bench.seconds(
            lambda evaluator=evaluator, scores=scores, seed=seed: scores.extend(  # type: ignore[misc]
                accuracy
                for path in paths
                for accuracy in evaluator.evaluate([path], budget=Budget(epochs), seed=seed)[0].accuracies
            )
        )
        alike = bool(own) and len(scores) == len(own[0]["accuracies"])
        tau = float(kendalltau(own[0]["accuracies"], scores).statistic) if alike else math.nan
        own.append({
            "batch": batch, "rate": rate, "seed": seed, "seconds": seconds, "accuracies": scores,
            "mean": mean(scores) if scores else None, "tau": None if math.isnan(tau) else tau,
        })  # fmt: skip
    return {"epochs": epochs, "rows": own}
