"""Searches of a space whose prefixes are no parts of their continuations: whole paths alone are measured."""

import pytest
import torch

import replaytree
from replaytree.config import SCORED_STRATEGIES, SearchConfig
from replaytree.errors import SpaceError
from replaytree.records import Decision, PathEvaluation
from replaytree.search.assembly import evaluator_name
from replaytree.space import Classifier, ConstrainedSpace, Convolution, DecisionSpace, LabelSpace, chain
from replaytree.space.plan import plain_label, plain_values
from replaytree.tree import check


class Repeated:
    """A layer is a convolution, and the network has the whole path twice, so that no prefix is a part of another."""

    name, source, nested = "repeated", "these tests", False
    input_shape, num_classes, max_layers = (1, 8, 8), 10, 3

    def options(self):
        return {}

    def decisions(self, depth):
        return (Decision("kernel", ("1", "3", "5")),)

    def legal(self, prefix, chosen):
        return (True,) * 3

    def label(self, prefix, values):
        return plain_label(self.decisions(1), values)

    def values(self, prefix, label):
        return plain_values(self.decisions(1), label, depth=len(prefix) + 1)

    def network(self, path):
        layers = [Convolution(4, 1 + 2 * action) for action in path] * 2
        return chain(layers, input_shape=self.input_shape, head=Classifier(self.num_classes))


@pytest.fixture(scope="module")
def space():
    return DecisionSpace(Repeated())


class Whole:
    """Accuracies of whole paths, which follow from the path and the seed."""

    def evaluate(self, paths, *, budget, seed):
        noise = torch.Generator().manual_seed(seed)
        return [
            PathEvaluation([
                *[None] * (len(path) - 1), 0.5 + 0.1 * path.count(1) + 0.01 * float(torch.rand((), generator=noise))
            ])
            for path in paths
        ]  # fmt: skip


def begun(space, strategy, storage="sqlite://"):
    own = {"warmup": 2} if strategy == "guided" else {"population": 3} if strategy == "evolution" else {}
    return replaytree.Search(
        name="whole", storage=storage, space=space, evaluator=Whole(), strategy=strategy, min_layers=1, max_layers=3,
        epochs_first=1, epochs_last=1, num_paths=2, **own,
    )  # fmt: skip


@pytest.mark.parametrize("strategy", SCORED_STRATEGIES)
def test_every_strategy_searches_and_resumes_as_if_uninterrupted(space, strategy, tmp_path):
    storage = f"sqlite:///{tmp_path}/search.db"
    begun(space, strategy, storage).run(trainings=4)
    again = replaytree.Search.resume("whole", storage=storage, space=space, evaluator=Whole())
    again.run(trainings=4)
    other = begun(space, strategy)
    other.run(trainings=4)
    other.run(trainings=4)
    assert again.tree.node_stats() == other.tree.node_stats()
    assert again.tree.strategy_state() == other.tree.strategy_state()
    trained = [episode for episode in again.tree.episodes() if episode.trained]
    assert len(trained) == 8
    for episode in trained:
        assert [accuracy is None for accuracy in episode.accuracies] == [True] * (len(episode.path) - 1) + [False]
    assert check(again.tree.engine) == []
    assert again.tree.best(1)[0].average_accuracy == again.learner.best_accuracy
    again.tree.engine.dispose()


def test_without_an_evaluator_the_whole_path_is_trained(space):
    search = replaytree.Search(
        name="digits", storage="sqlite://", space=space, data=replaytree.load_data("digits", train_limit=64),
        strategy="random", min_layers=3, max_layers=3, epochs_first=2, epochs_last=2,
    )  # fmt: skip
    search.run(trainings=1)
    [episode] = search.tree.episodes()
    assert episode.accuracies[:2] == (None, None)
    assert episode.accuracies[2] == episode.highest > 0.0
    search.tree.engine.dispose()


def test_the_evaluator_is_by_the_space_unless_it_is_given(space):
    nested = replaytree.LayerSpace([Convolution(4, 3)], input_shape=(1, 8, 8), num_classes=2, max_layers=2)
    limited = ConstrainedSpace(nested, max_params=10**6)
    within = ConstrainedSpace(space, max_params=10**6)
    names = [evaluator_name(SearchConfig(), each) for each in (nested, limited, space, within)]
    assert names == ["joint", "joint", "whole", "whole"]
    assert evaluator_name(SearchConfig(evaluator="separate"), space) == "separate"
    assert evaluator_name(SearchConfig(), LabelSpace(["a"], max_layers=1)) == "whole"


def test_a_joint_training_is_refused_in_one_line(space):
    with pytest.raises(SpaceError, match=r"train each path by itself \(--evaluator whole\)") as refused:
        replaytree.Search(name="no", storage="sqlite://", space=space, dataset="digits", evaluator="joint")
    assert "\n" not in str(refused.value)
