"""Searches of digits with a supernet: killed and resumed, and begun from what a supernet says."""

import pytest
import torch

import replaytree
from replaytree.errors import ConfigError, SpaceError
from replaytree.records import PathEvaluation
from replaytree.search import prior as prior_module
from replaytree.search.state import unpack
from replaytree.tree import check

SMALL = {
    "dataset": "digits", "train_limit": 128, "max_layers": 3, "min_layers": 1, "width": 0.1, "seed": 5,
    "device": "cpu", "threads": 1,
}  # fmt: skip


def everything(search):
    episodes = [(e.path, e.source, e.epochs, e.accuracies) for e in search.tree.episodes()]
    return search.tree.node_stats(), episodes, plain(unpack(search.tree.strategy_state()))


def plain(value):
    """A state without tensors; equal ones may be different bytes, because a pickle names what comes twice."""
    if isinstance(value, torch.Tensor):
        return value.tolist()
    if isinstance(value, dict):
        return {name: plain(inner) for name, inner in value.items()}
    return [plain(inner) for inner in value] if isinstance(value, list | tuple) else value


def test_a_supernet_is_resumed_to_the_bit(tmp_path):
    def begin(name):
        options = {"weights": "shared", "strategy": "guided", "warmup": 2, "candidates": 16, "num_paths": 2}
        return replaytree.Search(name="s", storage=f"sqlite:///{tmp_path}/{name}.db", **SMALL, **options)

    whole = begin("whole").run(trainings=8)
    begin("parts").run(trainings=2)
    for trainings in (2, 4):
        parts = replaytree.Search.resume("s", storage=f"sqlite:///{tmp_path}/parts.db").run(trainings=trainings)
    assert everything(parts) == everything(whole)
    states = [plain(search.workers.evaluator.state_dict()) for search in (parts, whole)]
    assert states[0] == states[1]
    assert states[0]["turns"] == 4
    assert [e.epochs for e in whole.tree.episodes()] == [1, 1, 2, 2, 3, 3, 4, 4]
    assert {node.epochs for node in whole.tree.best(50)} == {4}
    assert len(whole.tree.best(50)) == len(whole.tree.nodes()), "the leaders, all of so small a tree, once more"
    assert check(parts.tree.engine) == []


@pytest.mark.parametrize(("score_images", "epochs"), [(None, 1), (6, 2)])
def test_leaders_of_one_turn_are_scored_on_all_images_where_the_turn_was_on_a_part(tmp_path, score_images, epochs):
    storage = f"sqlite:///{tmp_path}/a.db"
    search = replaytree.Search(storage=storage, **SMALL, weights="shared", score_images=score_images)
    search.run(trainings=1)
    best = search.tree.best(9)
    assert {node.epochs for node in best} == {epochs}
    # Whole numbers of right answers, of all validation images.
    images = len(search.data.val_labels)
    assert all(round(node.average_accuracy * images, 6).is_integer() for node in best)
    assert not search.tree.needs_rescoring


@pytest.fixture
def begin(tmp_path, monkeypatch):
    monkeypatch.setattr(prior_module, "NESTED_PATHS", 12)
    options = {"prior": "shared:2", "strategy": "guided"}

    def begun(name="a", **changes):
        return replaytree.Search(name="p", storage=f"sqlite:///{tmp_path}/{name}.db", **SMALL, **options | changes)

    return begun


def test_a_search_learns_first_from_a_supernet(tmp_path, begin):
    first = begin()
    assert first.tree.prior() == []
    first.run(trainings=1)
    told = first.tree.prior()
    paths = {node.path for node in told}
    assert all(path[:-1] in paths or len(path) == 1 for path in paths)
    assert {node.budgets[0].epochs for node in told} == {first.config.budget.epochs_last}
    assert len({node.average_accuracy for node in told}) > 3, "not all alike"
    assert first.memory.prior is not None
    assert first.tree.episodes()[0].source in ("sample", "continue"), "no warm-up"
    whole = begin("whole").run(trainings=3)
    again = replaytree.Search.resume("p", storage=f"sqlite:///{tmp_path}/a.db").run(trainings=2)
    assert everything(again) == everything(whole)
    assert again.tree.prior() == whole.tree.prior()
    assert check(again.tree.engine) == []


def test_what_interrupts_the_supernet_loses_the_prior_alone(tmp_path, begin):
    stopped = begin()
    step, asked = stopped.space.legal, []

    def legal(prefix, chosen=()):
        asked.append(prefix)
        if len(asked) == 20:
            stopped.stop()
        return step(prefix, chosen)

    stopped.space.legal = legal
    stopped.run(trainings=1)
    assert (stopped.tree.prior(), stopped.training_count) == ([], 0)
    again = replaytree.Search.resume("p", storage=f"sqlite:///{tmp_path}/a.db").run(trainings=1)
    assert again.tree.prior() == begin("whole").run(trainings=1).tree.prior() != []


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"prior": "shared"}, ConfigError, r"prior is 'shared'; write .* as in shared:12 \(--prior\)"),
        ({"prior": "shared:0"}, ConfigError, "prior is 'shared:0'"),
        ({"prior": "other:3"}, ConfigError, "prior is 'other:3'"),
        ({"prior": "shared:nan"}, ConfigError, "prior is 'shared:nan'"),
        # No step at all: a supernet that was never trained.
        ({"prior": "shared:0.001"}, ConfigError, r"passes is 0.001, and of .* half a batch of .* --prior shared:"),
        ({"strategy": "random"}, ConfigError, "'random', which learns from no prior"),
        ({"warm_start": "other"}, ConfigError, "one prior: leave out --prior or --warm-start"),
        ({"weights": "shared"}, ConfigError, "leave out one of them"),
        ({"space": "metaqnn"}, SpaceError, "layers without batch norm"),
    ],
)  # fmt: skip
def test_priors_that_cannot_be(begin, options, error, message):
    with pytest.raises(error, match=message):
        begin(**options)


def test_a_prior_needs_data(tmp_path):
    class Own:
        def evaluate(self, paths, *, budget, seed):
            return [PathEvaluation([0.5] * len(path)) for path in paths]

    with pytest.raises(ConfigError, match="trained on data, and this search has none; leave out --prior"):
        replaytree.Search(
            space=replaytree.LabelSpace(["a"], max_layers=2),
            evaluator=Own(),
            prior="shared:1",
            storage=f"sqlite:///{tmp_path}/a.db",
        )
