"""Searches whose trainings start from kept weights: killed or not, they go on to the bit."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from replaytree import Search
from replaytree.errors import ConfigError, StateUnusable
from replaytree.evaluate import InheritedEvaluator
from replaytree.tree import check

SPACES = {
    "joint": {"space": "xu24", "width": 0.25, "evaluator": "joint", "strategy": "guided", "warmup": 2},
    "separate": {"space": "xu24", "width": 0.25, "evaluator": "separate", "strategy": "replay"},
    "whole": {"space": "darts", "channels": 4, "cells": 3, "strategy": "evolution", "population": 2},
}


def begun(storage, kind, **options):
    return Search(
        name="inherited", storage=f"sqlite:///{storage}", dataset="digits", train_limit=64, weights="inherited",
        keep_weights=3, epochs_first=3, epochs_last=3, min_layers=1, max_layers=3, seed=2, **SPACES[kind] | options,
    )  # fmt: skip


def everything(search):
    state = search.workers.evaluator.state_dict()
    tensors = [
        tensor.tolist() for of_path in state["tensors"] for layer in of_path.values() for tensor in layer.values()
    ]
    episodes = [(each.path, each.epochs, each.accuracies) for each in search.tree.episodes()]
    return search.tree.node_stats(), episodes, search.tree.strategy_state(), state["paths"], tensors


@pytest.mark.parametrize("kind", SPACES)
def test_interrupted_and_resumed_is_as_if_uninterrupted(tmp_path, kind):
    whole = begun(tmp_path / "whole.db", kind).run(trainings=5)
    begun(tmp_path / "parts.db", kind).run(trainings=2)
    torch.manual_seed(99)
    # What a kill between the file and its transaction leaves.
    [folder] = Path(f"{tmp_path}/parts.db.state").iterdir()
    orphan = folder / "99-0123456789ab.safetensors"
    orphan.touch()
    parts = Search.resume("inherited", storage=f"sqlite:///{tmp_path}/parts.db").run(trainings=3)
    assert not orphan.exists()
    assert everything(parts) == everything(whole)
    assert 0 < len(everything(parts)[3]) <= 3
    # Strategies see budgets as they are, and not a budget a turn.
    assert {budget.epochs for node in parts.learner.memory for budget in node.budgets} == {3}
    assert check(parts.tree.engine) == []
    for search in (whole, parts):
        search.tree.engine.dispose()


def test_the_kept_weights_are_a_safetensors_file(tmp_path):
    search = begun(tmp_path / "a.db", "joint").run(trainings=2)
    files = sorted(Path(f"{tmp_path}/a.db.state").glob("*/*"))
    assert [file.name.split("-")[0] for file in files] == ["1", "2"]
    assert {file.suffix for file in files} == {".safetensors"}
    tensors = load_file(files[-1])
    kept = search.workers.evaluator.state_dict()["tensors"]
    assert kept
    for number, modules in enumerate(kept):
        for name, values in modules.items():
            for key, tensor in values.items():
                # Prefixes of one training have modules in common, which are written once.
                at = [f"tensors.{place}.{name}.{key}" for place in range(number + 1)]
                assert any(torch.equal(tensors[place], tensor) for place in at if place in tensors)


def test_weights_that_were_kept_in_the_form_of_before_are_gone_on_with(tmp_path, monkeypatch):
    whole = begun(tmp_path / "whole.db", "joint").run(trainings=5)
    with monkeypatch.context() as before:
        before.setattr(InheritedEvaluator, "state_suffix", ".pt")
        begun(tmp_path / "parts.db", "joint").run(trainings=2)
    folder = Path(f"{tmp_path}/parts.db.state")
    assert {file.suffix for file in folder.glob("*/*")} == {".pt"}
    parts = Search.resume("inherited", storage=f"sqlite:///{tmp_path}/parts.db").run(trainings=3)
    assert everything(parts) == everything(whole)
    assert {file.suffix for file in folder.glob("*/*")} == {".safetensors"}
    assert len(list(folder.glob("*/*"))) == 2


def test_without_its_file_it_offers_to_go_on_without_the_weights(tmp_path):
    begun(tmp_path / "a.db", "joint").run(trainings=2)
    [folder] = Path(f"{tmp_path}/a.db.state").iterdir()
    for file in folder.iterdir():
        file.unlink()
    with pytest.raises(StateUnusable, match="--restart-weights"):
        Search.resume("inherited", storage=f"sqlite:///{tmp_path}/a.db")
    again = Search.resume("inherited", storage=f"sqlite:///{tmp_path}/a.db", restart_weights=True)
    assert len(again.workers.evaluator.kept) == 0
    again.run(trainings=1)
    assert again.training_count == 3


def test_what_else_would_train_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="inherited weights are in one process"):
        begun(tmp_path / "a.db", "joint", workers=2)
