"""A search that is asked for more than it was begun with goes on, deeper and with longer trainings; never with less."""

import json

import pytest
import torch

import replaytree
from replaytree.config import STRATEGY_OPTIONS
from replaytree.config.option import made
from replaytree.config.strategies import SCORED_STRATEGIES, without_foreign
from replaytree.errors import ConfigError, SpaceError
from replaytree.policy import STRATEGIES, ReplayMemory
from replaytree.records import BudgetSums, NodeStats, PathEvaluation
from replaytree.search import stored
from replaytree.search.state import unpack
from replaytree.space.catalogue import named_space

LABELS = ["identity", "good", "bad"]


class Table:
    """Every `good` layer adds 0.02; a little noise from the seed."""

    def evaluate(self, paths, *, budget, seed):
        noise = 0.001 * float(torch.rand((), generator=torch.Generator().manual_seed(seed)))
        return [
            PathEvaluation([0.5 + 0.02 * path[: t + 1].count(1) + noise for t in range(len(path))]) for path in paths
        ]


def begun(storage, **options):
    options = {"strategy": "guided", "min_layers": 2, "epochs_first": 1, "epochs_last": 4, "warmup": 2} | options
    options = without_foreign(options["strategy"], options)
    return replaytree.Search(
        name="more", storage=storage, space=replaytree.LabelSpace(LABELS, max_layers=4), evaluator=Table(), **options
    )


def resumed(storage, depth=4, **options):
    space = replaytree.LabelSpace(LABELS, max_layers=depth)
    return replaytree.Search.resume("more", storage=storage, space=space, evaluator=Table(), **options)


def steps(search):
    return [(episode.depth_bound, episode.epochs) for episode in search.tree.episodes()]


@pytest.fixture
def storage(tmp_path):
    return f"sqlite:///{tmp_path}/raised.db"


@pytest.mark.parametrize("strategy", SCORED_STRATEGIES)
def test_the_bound_rises_from_where_it_stood_and_the_budget_does_not_fall(storage, strategy):
    begun(storage, strategy=strategy).run(episodes=5)
    search = resumed(storage, 7, max_layers=7)
    search.run(episodes=5)
    # Epochs go from 1 at 2 layers to 4 half-way to max_layers, which is at 3 layers first and at 4.5 later: 4 layers
    # alone would have round(1 + 2 / 2.5 * 3) = 3 epochs then.
    before = [(2, 1), (3, 4), (4, 4), (4, 4), (4, 4)]
    assert steps(search) == [*before, (4, 4), (5, 4), (6, 4), (7, 4), (7, 4)]
    assert max(len(episode.path) for episode in search.tree.episodes()) == 7
    assert stored.check(search.tree.engine) == []
    # What was raised is stored: nobody need say it again.
    info = search.tree.info()
    assert (json.loads(info.config_json)["max_layers"], json.loads(info.space_json)["max_layers"]) == (7, 7)
    again = resumed(storage, 7)
    again.run(episodes=1)
    assert steps(again)[-1] == (7, 4)


def test_epochs_are_raised_for_what_is_trained_from_now(storage):
    begun(storage).run(episodes=3)
    search = resumed(storage, epochs=(3, 9))
    search.run(episodes=2)
    assert steps(search) == [(2, 1), (3, 4), (4, 4), (4, 9), (4, 9)]


def test_a_raise_in_mid_growth_keeps_the_budget_until_the_new_rule_gives_more(storage):
    begun(storage, grow_every=2).run(episodes=4)
    search = resumed(storage, 12, max_layers=12, epochs=(1, 8))
    search.run(episodes=10)
    # 4 layers were due next, with 4 epochs. By the new rule they have 1 + 2 / 5 * 7 = 3.8, and 5 layers 5.2.
    assert steps(search)[3:] == [(3, 4), *[(4, 4)] * 2, *[(5, 5)] * 2, *[(6, 7)] * 2, *[(7, 8)] * 2, *[(8, 8)] * 2]


@pytest.mark.parametrize("strategy", ["guided", "replay"])
def test_interrupted_after_a_raise_is_as_if_uninterrupted(tmp_path, strategy):
    whole, parts = (f"sqlite:///{tmp_path}/{name}.db" for name in ("whole", "parts"))
    for storage in (whole, parts):
        begun(storage, strategy=strategy).run(episodes=4)
    one = resumed(whole, 6, max_layers=6)
    one.run(episodes=6)
    resumed(parts, 6, max_layers=6).run(episodes=2)
    two = resumed(parts, 6)
    two.run(episodes=4)
    assert two.tree.node_stats() == one.tree.node_stats()
    assert two.tree.strategy_state() == one.tree.strategy_state()


def test_a_raise_is_stored_with_its_state_before_anything_is_trained(storage, monkeypatch):
    begun(storage).run(episodes=4)
    search = resumed(storage, 6, max_layers=6)
    monkeypatch.setattr(search._driver, "_run", lambda *_: None)
    assert json.loads(search.tree.info().config_json)["max_layers"] == 4
    search.run(episodes=1)
    assert json.loads(search.tree.info().config_json)["max_layers"] == 6
    assert unpack(search.tree.strategy_state())["growth"]["least_epochs"] == 4
    assert stored.check(search.tree.engine) == []
    again = resumed(storage, 6)
    again.run(episodes=2)
    assert steps(again)[4:] == [(4, 4), (5, 4)]


def test_what_is_as_it_was_changes_nothing(storage):
    before = begun(storage)
    before.run(episodes=4)
    state = before.tree.strategy_state()
    same = resumed(storage, max_layers=4, epochs=(1, 4))
    assert same.growth == before.growth
    assert same.growth.least_epochs == 0
    assert same.learner.state() == state


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"max_layers": 3}, "max_layers is 3, and the search has 4 by now; it can only be raised (--max-layers)"),
        (
            {"epochs": (1, 3)},
            "epochs are 1:3, and the search was begun with 1:4; they can only be raised (--epochs)",
        ),
        ({"epochs": 8}, "epochs is 8; give two whole numbers, as in epochs=(4, 8)"),
        (
            {"max_layers": 2.5},
            "max_layers is 2.5; it must be a whole number of at least 1 and at most 10000 (--max-layers)",
        ),
    ],
)
def test_nothing_is_lowered(storage, asked, message):
    begun(storage).run(episodes=1)
    with pytest.raises(ConfigError) as caught:
        resumed(storage, **asked)
    assert str(caught.value) == message


@pytest.mark.parametrize(("depth", "asked"), [(6, {}), (3, {}), (4, {"max_layers": 6}), (3, {"max_layers": 4})])
def test_a_space_of_ones_own_is_as_deep_as_asked(storage, depth, asked):
    begun(storage).run(episodes=1)
    with pytest.raises((SpaceError, ConfigError)) as caught:
        resumed(storage, depth, **asked)
    assert f"the space ends at {depth} layers" in str(caught.value)


def test_prefixes_that_lead_nowhere_in_a_deeper_space_are_counted(storage):
    def costly(depth):
        return replaytree.LabelSpace(
            LABELS, max_layers=depth, cost=lambda path: (10 * len(path) + 10 * path.count(2), 1)
        )

    options = {"space": costly(4), "evaluator": Table(), "storage": storage}
    search = replaytree.Search(name="more", max_params=100, min_layers=4, **options).run(episodes=8)
    # A layer costs 10, and `bad` 20. Within 100 there may be four of them in 6 layers, and two in 8.
    stuck = sum(node.path.count(2) > 2 for node in search.tree.node_stats())
    assert stuck
    with pytest.raises(SpaceError, match=rf"^{stuck} prefixes of search 'more' cannot go on to 8 layers within"):
        replaytree.Search.resume("more", storage=storage, space=costly(8), evaluator=Table(), max_layers=8)
    six = replaytree.Search.resume("more", storage=storage, space=costly(6), evaluator=Table(), max_layers=6)
    six.run(episodes=4)
    assert steps(six)[-1][0] == 6


def strategy_of(name, depth):
    options = made(STRATEGY_OPTIONS[name], {"warmup": 1})
    return STRATEGIES[name](replaytree.LabelSpace(LABELS, max_layers=depth), options, seed=0)


def taught(name):
    strategy = strategy_of(name, 3)
    memory = ReplayMemory()
    accuracies = {(0,): 0.4, (0, 1): 0.5, (0, 1, 2): 0.45, (1,): 0.6, (1, 1): 0.8}
    memory.update(NodeStats(path, 1, (BudgetSums(4, 1, value),)) for path, value in accuracies.items())
    for _ in range(3):
        proposals = strategy.propose(memory, num_paths=1, depth_bound=3, epochs=4)
        strategy.observe(memory, proposals, [PathEvaluation([0.5] * len(proposal.path)) for proposal in proposals])
    return strategy


def test_a_deeper_value_model_goes_on_with_its_parameters():
    before, after = taught("guided"), strategy_of("guided", 5)
    after.load_state_dict(before.state_dict())
    assert after._values.state() == before._values.state() != strategy_of("guided", 5)._values.state()


def test_a_deeper_baseline_has_measured_nothing_beyond():
    before, after = taught("replay"), strategy_of("replay", 5)
    after.load_state_dict(before.state_dict())
    assert after._mean_D.tolist() == [*before._mean_D, 0.0, 0.0]
    assert after._count_D.tolist() == [*before._count_D, 0.0, 0.0]
    assert before._count_D[0] > 0


@pytest.mark.parametrize("name", ["replay", "puct"])
def test_a_state_of_more_layers_is_refused(name):
    with pytest.raises((ValueError, RuntimeError)):
        strategy_of(name, 2).load_state_dict(strategy_of(name, 3).state_dict())


@pytest.mark.parametrize(("name", "raises"), [("enas-macro", True), ("zoph", False), ("nasnet", False)])
def test_a_space_whose_networks_depend_on_its_depth_is_not_raised(storage, name, raises):
    images = {"input_shape": (1, 8, 8), "num_classes": 10}
    replaytree.Search(
        name="more", storage=storage, space=named_space(name, **images, max_layers=3), evaluator=Table(), min_layers=3
    ).run(episodes=2)
    deeper = named_space(name, **images, max_layers=6)
    if not raises:
        replaytree.Search.resume("more", storage=storage, space=deeper, evaluator=Table(), max_layers=6).run(episodes=1)
        return
    # With 3 layers the maps are reduced behind the first, with 6 behind the second.
    with pytest.raises(
        SpaceError, match="networks of enas-macro depend on max_layers, so in one of 6 layers those that"
    ):
        replaytree.Search.resume("more", storage=storage, space=deeper, evaluator=Table(), max_layers=6)
    # At the same depth it goes on.
    space = named_space(name, **images, max_layers=3)
    replaytree.Search.resume("more", storage=storage, space=space, evaluator=Table()).run(episodes=1)
