"""Differentiable searches of digits: recorded, resumed to the bit, ended, and refused where they cannot be."""

import pytest
import torch
from sqlalchemy import text

import replaytree
from replaytree import cli
from replaytree.config import SearchConfig
from replaytree.errors import ConfigError, CorruptTree, SpaceError
from replaytree.evaluate import differentiable
from replaytree.records import PathEvaluation
from replaytree.report.reading import read_search
from replaytree.search.state import unpack
from replaytree.tree import check
from replaytree.tree.engine import writing

SMALL = {
    "dataset": "digits", "train_limit": 80, "batch_size": 20, "space": "darts", "channels": 4, "cells": 3,
    "max_layers": 2, "seed": 5, "device": "cpu", "threads": 1,
}  # fmt: skip


def plain(value):
    """A state without tensors."""
    if isinstance(value, torch.Tensor):
        return value.tolist()
    if isinstance(value, dict):
        return {name: plain(inner) for name, inner in value.items()}
    return [plain(inner) for inner in value] if isinstance(value, list | tuple) else value


def everything(search):
    episodes = [(e.path, e.epochs, e.accuracies, e.policy_loss, e.entropy, e.mixed) for e in search.tree.episodes()]
    return search.tree.node_stats(), episodes, plain(unpack(search.tree.strategy_state()))


@pytest.fixture
def begin(tmp_path):
    def begun(name="a", **changes):
        return replaytree.Search(name="s", storage=f"sqlite:///{tmp_path}/{name}.db", **SMALL | changes)

    return begun


def resumed(tmp_path, name="a", **options):
    return replaytree.Search.resume("s", storage=f"sqlite:///{tmp_path}/{name}.db", **options)


@pytest.mark.parametrize(
    "options",
    [
        {"strategy": "darts", "alpha_order": 2},
        {"strategy": "pc-darts", "channels": 8, "stop_early": "eigenvalue"},
        {"strategy": "gdas"},
        {"strategy": "darts", "derive": "perturbation", "tuning_epochs": 1, "search_epochs": 1},
    ],
    ids=lambda options: "-".join(str(value) for value in options.values()),
)
def test_a_search_is_resumed_to_the_bit(tmp_path, begin, options):
    options = {"search_epochs": 3} | options
    whole = begin("whole", **options).run(trainings=3)
    begin("parts", **options).run(trainings=1)
    parts = resumed(tmp_path, "parts").run(trainings=2)
    assert everything(parts) == everything(whole)
    states = [plain(search.workers.evaluator.state_dict()) for search in (parts, whole)]
    assert states[0] == states[1]
    assert states[0]["turns"] == 3
    assert check(parts.tree.engine) == []


def test_an_epoch_is_an_episode_with_what_the_numbers_were_like(begin):
    search = begin(strategy="darts", space="darts").run(trainings=3)
    episodes = search.tree.episodes()
    assert [len(episode.path) for episode in episodes] == [2] * 3
    assert [episode.epochs for episode in episodes] == [1, 2, 3]
    assert all(episode.accuracies[0] is None and 0.0 <= episode.accuracies[1] <= 1.0 for episode in episodes)
    for episode in episodes:
        names = ["normal 2<-0", "normal 2<-1", "reduction 2<-0", "reduction 2<-1"]
        assert sorted(episode.mixed.entropies) == names
        # Of eight operations, still nearly undecided: log 8.
        assert all(2.0 < nats <= 2.0794416 for nats in episode.mixed.entropies.values())
        assert episode.entropy == pytest.approx(sum(episode.mixed.entropies.values()) / 4)
        labels = " ".join(search.space.labels(episode.path))
        assert episode.mixed.skip_share == labels.count("skip") / 4
        assert episode.mixed.eigenvalue is None
    # What is scored is what was derived from the numbers after the epoch.
    evaluator = search.workers.evaluator
    assert evaluator._mixture.derive(evaluator._training.rows()) == episodes[-1].path
    assert search.tree.best(5)[0].epochs == 3
    assert search.derived.path == episodes[-1].path


def test_scores_are_of_the_path_alone(begin):
    search = begin(strategy="darts").run(trainings=1)
    evaluator = search.workers.evaluator
    before = plain(evaluator.state_dict())
    path = search.tree.episodes()[0].path
    other = search.space.parse("sep3@0+sep3@1 max3@0+max3@1")
    first, again, changed = evaluator.rescore([path, path, other])
    assert first.accuracies == again.accuracies == evaluator.rescore([path])[0].accuracies
    assert (first.shared, again.shared) == (0, 2)
    assert changed.epochs == 1
    assert plain(evaluator.state_dict()) == before


def test_a_search_that_collapses_ends(tmp_path, begin, monkeypatch):
    monkeypatch.setattr(differentiable, "collapsed_at", lambda values: 1 if len(values) == 2 else None)
    search = begin(strategy="darts", stop_early="eigenvalue").run(trainings=5)
    assert search.training_count == 2
    assert "since epoch 1, whose path is the one to take" in search.ended
    assert search.derived.path == search.tree.episodes()[0].path
    assert all(episode.mixed.eigenvalue is not None for episode in search.tree.episodes())
    # The report finds it in the tree.
    assert [episode.mixed.behind for episode in search.tree.episodes()] == [0, 1]
    assert read_search(search).derived.node_id == search.derived.node_id
    # It has ended for good.
    assert resumed(tmp_path).run(trainings=2).training_count == 2


def test_a_search_ends_where_the_normal_cell_skips(begin, monkeypatch):
    monkeypatch.setattr(differentiable, "FIRST", 2)
    search = begin(strategy="darts", stop_early="skips")
    search.workers.evaluator._training.numbers[0].data[3] = 9.0
    search.workers.evaluator._training.numbers[1].data[3] = 9.0
    search.run(trainings=5)
    assert search.training_count == 2
    assert search.ended == "the normal cell of epoch 2 has 2 skips"


def test_a_derivation_by_perturbation_takes_a_training_a_choice(begin):
    search = begin(strategy="darts", derive="perturbation", tuning_epochs=0)
    with pytest.raises(ConfigError, match="4 trainings are too few: --derive perturbation takes 4 for its choices"):
        search.run(trainings=4)
    search.run(trainings=6)
    # One epoch for each of what is left, and one turn for each of the four edges.
    assert (search.training_count, search.workers.evaluator._training.epoch) == (6, 2)
    assert search.ended == "every choice is made by perturbation"
    fixed = search.workers.evaluator._projecting.with_fixed([(0.0,) * 8] * 4)
    assert [sorted(row) for row in fixed] == [[0.0] * 7 + [1.0]] * 4
    assert all(row[0] == 0.0 for row in fixed), "none is never chosen"
    path = search.tree.episodes()[-1].path
    assert search.workers.evaluator._mixture.rows(path) == fixed
    # What is chosen is decided: an entropy of 0 more with every choice.
    counts = [list(episode.mixed.entropies.values()).count(0.0) for episode in search.tree.episodes()]
    assert counts == [0, 0, 1, 2, 3, 4]


def test_what_a_strategy_implies_gives_way_to_what_is_said():
    config = SearchConfig(strategy="pc-darts", max_layers=8, learning_rate=0.05)
    assert config.weights.weights == "shared"
    assert (config.space.min_layers, config.space.max_layers) == (8, 8)
    assert (config.recipe.learning_rate, config.recipe.weight_decay, config.recipe.label_smoothing) == (0.05, 3e-4, 0.0)
    assert config.weights.supernet_clip == 5.0
    own = config.strategy_options
    assert (own.alpha_rate(steps=35 * 98), own.final_rate, own.frozen, own.channel_share) == (6e-4, 0.0, 0.3, 4)
    assert SearchConfig(strategy="darts").recipe.learning_rate == 0.025
    assert SearchConfig(strategy="gdas").strategy_options.temperatures == (10.0, 0.1)
    assert SearchConfig.from_json(config.to_json()) == config


class Own:
    def evaluate(self, paths, *, budget, seed):
        return [PathEvaluation([0.5] * len(path)) for path in paths]


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ({"weights": "fresh"}, ConfigError, "weights are fresh, and strategy darts learns from the gradient"),
        ({"weights": "inherited"}, ConfigError, "leave out --weights, or choose another --strategy"),
        ({"space": "zoph", "channels": None, "cells": None}, SpaceError, "no supernet that mixes the layers of zoph"),
        ({"num_paths": 2}, ConfigError, "--num-paths means nothing with --strategy darts: an epoch derives one path"),
        ({"passes": 2.0}, ConfigError, "--passes means nothing with --strategy darts: an epoch is one pass"),
        ({"evaluator": "separate"}, ConfigError, "--evaluator means nothing .* a path is scored as a whole"),
        ({"max_params": 1000}, ConfigError, "--max-params means nothing .* all paths are trained at once"),
        ({"target_flops": 1000}, ConfigError, "--target-flops means nothing .* not from rewards"),
        ({"min_layers": 1}, ConfigError, "min_layers is 1, .* all paths have max_layers, 2; leave out --min-layers"),
        ({"workers": 2}, ConfigError, "strategy darts trains one supernet, in this process; leave out --workers"),
        ({"score_images": 999}, ConfigError, "score_images is 999, and there are 180 validation images"),
        ({"strategy": "gdas", "derive": "perturbation"}, ConfigError, "derive is an option of darts, pc-darts"),
        ({"strategy": "gdas", "tau_first": 0.1, "tau_last": 1.0}, ConfigError, "write --tau 1:0.1"),
        ({"strategy": "pc-darts", "channels": 6}, SpaceError, "channels are 6, which is no multiple of 4"),
        ({"derive": "perturbation", "stop_early": "skips"}, ConfigError, "leave out one of them"),
        ({"frozen": 1.0}, ConfigError, "frozen is 1.0; it must be a number of at least 0 and less than 1"),
    ],
)  # fmt: skip
def test_combinations_that_cannot_be(begin, options, error, said):
    with pytest.raises(error, match=said):
        begin(**{"strategy": "darts"} | options)


def test_an_evaluator_of_ones_own_has_no_gradient(tmp_path):
    space = replaytree.LabelSpace(["a", "b"], max_layers=2)
    with pytest.raises(ConfigError, match="learns from the gradient of a supernet that it trains"):
        replaytree.Search(space=space, evaluator=Own(), strategy="darts", storage=f"sqlite:///{tmp_path}/a.db")


def test_the_number_of_epochs_must_be_known(begin):
    with pytest.raises(ConfigError, match="in how many epochs the rates fall; give --trainings, or --search-epochs"):
        begin(strategy="darts").run(hours=1.0)


def test_a_supernet_that_does_not_fit_is_refused(begin, monkeypatch):
    monkeypatch.setattr(differentiable, "usable_bytes", lambda device: 2**20)
    with pytest.raises(ConfigError, match=r"estimated to take \d+ MiB for batches of 20 images, and there are 1; give"):
        begin(strategy="darts")


def test_a_supernet_that_diverges_is_a_failure(begin, monkeypatch):
    search = begin(strategy="darts")
    training = search.workers.evaluator._training
    loss = training._loss
    monkeypatch.setattr(training, "_loss", lambda *given: loss(*given) * float("nan"))
    search.run(trainings=1)
    [episode] = search.tree.episodes()
    assert (episode.failure, episode.policy_loss) == ("diverged", None)


def test_deeper_cells_are_another_supernet(tmp_path, begin):
    begin(strategy="darts").run(trainings=1)
    with pytest.raises(ConfigError, match="max_layers is 4, and the supernet of strategy darts has 2 layers; start a"):
        resumed(tmp_path, max_layers=4)


def test_a_new_supernet_goes_on_with_the_tree(tmp_path, begin):
    begin(strategy="darts").run(trainings=2)
    search = resumed(tmp_path, restart_weights=True).run(trainings=1)
    assert [episode.epochs for episode in search.tree.episodes()] == [1, 2, 3]
    assert search.workers.evaluator._training.epoch == 1


def test_on_the_command_line_it_is_one_line_and_exit_code_2(tmp_path, capsys):
    given = ["run", "--storage", f"sqlite:///{tmp_path}/a.db", "--strategy", "gdas", "--weights", "fresh"]
    with pytest.raises(SystemExit) as ended:
        cli.main(given)
    assert ended.value.code == 2
    [line] = capsys.readouterr().err.splitlines()
    assert "strategy gdas learns from the gradient of one supernet" in line


def test_the_command_line_of_a_configuration_leaves_out_what_its_strategy_implies():
    config = SearchConfig(strategy="darts", space="darts", max_layers=8, weight_decay=5e-4, supernet_clip=None)
    # The weight decay is that of other strategies, and not the one that darts implies.
    usual = ["--strategy", "darts", "--weight-decay", "0.0005", "--supernet-clip", "none"]
    assert config.to_arguments() == ["--space", "darts", *usual]
    shallow = config.with_options(min_layers=4, max_layers=4)
    assert shallow.to_arguments() == ["--space", "darts", "--max-layers", "4", *usual]
    assert SearchConfig(strategy="darts", learning_rate=None).recipe.learning_rate == 0.025


@pytest.mark.parametrize(
    ("strategy", "space"),
    [
        ("darts", {"space": "nasnet", "cells": 2}),
        ("gdas", {"space": "xu24", "cells": None, "channels": None, "width": 0.125, "max_layers": 3}),
        ("darts", {"space": "tiny", "cells": None, "channels": None, "max_layers": 3}),
        ("pc-darts", {"space": "enas-macro", "cells": None, "channels": 8, "max_layers": 3}),
        ("gdas", {"space": "enas-macro", "cells": None, "channels": 4, "max_layers": 3}),
    ],
    ids=lambda value: value if isinstance(value, str) else value["space"],
)
def test_other_spaces(begin, strategy, space):
    search = begin(strategy=strategy, **space).run(trainings=2)
    episodes = search.tree.episodes()
    assert [len(episode.path) for episode in episodes] == [search.config.space.max_layers] * 2
    assert all(episode.failure is None and episode.entropy > 0.0 for episode in episodes)
    assert check(search.tree.engine) == []


def test_the_command_ends_with_what_was_derived(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(differentiable, "collapsed_at", lambda values: 1 if len(values) == 2 else None)
    small = ["--space", "darts", "--channels", "4", "--cells", "3", "--max-layers", "2", "--train-limit", "96"]
    given = ["run", "--name", "s", "--storage", f"sqlite:///{tmp_path}/a.db", "--strategy", "darts", *small]
    with pytest.raises(SystemExit) as ended:
        cli.main([*given, "--stop-early", "eigenvalue", "--trainings", "4"])
    assert not ended.value.code
    out = capsys.readouterr().out
    first = replaytree.ReplayTree.open(f"sqlite:///{tmp_path}/a.db", "s").episodes()[0]
    assert "ended after 2 epochs: the largest eigenvalue has risen from" in out
    assert f"derived: node {first.node_id}, " in out
    assert f"replaytree retrain s --node {first.node_id}" in out


def test_a_run_of_unknown_length_leaves_no_search_behind(tmp_path, capsys):
    storage = f"sqlite:///{tmp_path}/a.db"
    with pytest.raises(SystemExit) as ended:
        cli.main(["run", "--name", "s", "--storage", storage, "--strategy", "darts", "--hours", "0.1"])
    assert ended.value.code == 2
    assert "give --trainings, or --search-epochs" in capsys.readouterr().err
    assert not (tmp_path / "a.db").exists()


def test_what_numbers_were_like_is_checked(begin):
    search = begin(strategy="gdas").run(trainings=1)
    with writing(search.tree.engine) as connection:
        connection.execute(text("UPDATE episodes SET mixed_json = '{\"entropies\": 3}'"))
    [problem] = check(search.tree.engine)
    assert "mixed_json" in problem.invariant
    with pytest.raises(CorruptTree, match=r"episode 0: .* does not say what numbers were like"):
        search.tree.episodes()
