"""Every strategy searches every named space, and one training scores all prefixes of a path there."""

import pytest
import torch

import replaytree
from replaytree.config import SCORED_STRATEGIES
from replaytree.config.presets import with_preset
from replaytree.records import PathEvaluation
from replaytree.space.catalogue import named_space
from replaytree.tree import check

SMALL = {"input_shape": (1, 8, 8), "max_layers": 4}


class Arithmetic:
    """Accuracies that follow from the path and the seed."""

    def evaluate(self, paths, *, budget, seed):
        noise = torch.Generator().manual_seed(seed)
        return [
            PathEvaluation([
                0.5 + 0.4 * (sum(path[: t + 1]) % 97) / 97 + 0.01 * float(torch.rand((), generator=noise))
                for t in range(len(path))
            ])
            for path in paths
        ]  # fmt: skip


def begun(space, strategy, storage="sqlite://", *, name="spaces"):
    own = {"warmup": 2} if strategy == "guided" else {"population": 3} if strategy == "evolution" else {}
    return replaytree.Search(
        name=name, storage=storage, space=space, evaluator=Arithmetic(), strategy=strategy, min_layers=3,
        max_layers=4, epochs_first=1, epochs_last=1, num_paths=2, **own,
    )  # fmt: skip


def test_every_strategy_searches_every_space(every_space, tmp_path):
    space = every_space(**SMALL)
    for strategy in SCORED_STRATEGIES:
        search = begun(space, strategy, f"sqlite:///{tmp_path}/all.db", name=strategy)
        search.run(trainings=6)
        assert sum(episode.trained for episode in search.tree.episodes()) == 6, strategy
        for node in search.tree.node_stats():
            space.check(node.path)
        [best] = search.tree.best(1)
        assert space.parse(" ".join(best.labels)) == best.path, strategy
        assert (best.params, best.flops) == space.cost(best.path), strategy
        assert check(search.tree.engine) == [], strategy


def everything(search):
    episodes = [(e.path, e.source, e.accuracies, e.policy_loss, e.entropy) for e in search.tree.episodes()]
    return search.tree.node_stats(), episodes, search.tree.strategy_state()


@pytest.mark.parametrize("strategy", ["guided", "replay"])
def test_interrupted_and_resumed_is_as_if_uninterrupted(tmp_path, strategy):
    space = named_space("zoph", num_classes=10, strides=True, **SMALL)
    whole = begun(space, strategy)
    whole.run(trainings=4)
    whole.run(trainings=4)
    storage = f"sqlite:///{tmp_path}/search.db"
    begun(space, strategy, storage).run(trainings=4)
    again = replaytree.Search.resume("spaces", storage=storage, space=space, evaluator=Arithmetic())
    again.run(trainings=4)
    assert everything(again) == everything(whole)
    assert check(again.tree.engine) == []


def test_one_training_scores_all_prefixes_on_images(every_space):
    space = every_space(**SMALL)
    evaluator = "joint" if space.nested else "separate"
    search = replaytree.Search(
        name="digits", storage="sqlite://", space=space, data=replaytree.load_data("digits", train_limit=64),
        strategy="random", min_layers=3, max_layers=3, epochs_first=1, epochs_last=1, evaluator=evaluator,
    )  # fmt: skip
    search.run(trainings=1)
    [episode] = search.tree.episodes()
    assert len(episode.accuracies) == len(episode.path) >= 1
    assert all(0.0 <= accuracy <= 1.0 for accuracy in episode.accuracies)
    assert episode.failure is None
    assert check(search.tree.engine) == []
    search.tree.engine.dispose()


def test_a_search_with_the_preset_of_zoph_learns_from_rewards_and_stores_accuracies(monkeypatch):
    options = with_preset("zoph", {"width": 0.1, "min_layers": 2, "max_layers": 3, "num_paths": 2}, trainings=2)
    search = replaytree.Search(
        name="preset", storage="sqlite://", data=replaytree.load_data("digits", train_limit=64),
        epochs_first=2, epochs_last=2, **options,
    )  # fmt: skip
    seen, observe = [], search.strategy.observe

    def watched(memory, proposals, rewards):
        seen.append(rewards)
        return observe(memory, proposals, rewards)

    monkeypatch.setattr(search.strategy, "observe", watched)
    search.run(trainings=2)
    for rewards, episode in zip(seen[0], search.tree.episodes(), strict=True):
        assert all(
            reward >= accuracy**3 - 1e-12
            for reward, accuracy in zip(rewards.accuracies, episode.accuracies, strict=True)
        )
    # Of 2 epochs the best of both: to the power of 3, an accuracy is less than itself.
    assert all(0.0 < reward < 0.5 for rewards in seen[0] for reward in rewards.accuracies)
    assert search.growth.depth_bound == 3
    assert check(search.tree.engine) == []
