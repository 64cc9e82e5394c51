import pytest

from replaytree import Search
from replaytree.config import Growth, SearchConfig
from replaytree.data import load_data
from replaytree.errors import ConfigError
from replaytree.evaluate import SharedEvaluator
from replaytree.search.assembly import default_evaluator
from replaytree.search.forecast import training_costs
from replaytree.search.searched_space import default_space
from replaytree.space import LabelSpace


class Own:
    def evaluate(self, paths, *, budget, seed):
        return []


def test_a_search_of_enas_macro_with_shared_weights(tmp_path):
    search = Search(
        dataset="digits",
        storage=f"sqlite:///{tmp_path / 'tree.db'}",
        space="enas-macro",
        channels=4,
        max_layers=3,
        train_limit=256,
        weights="shared",
        passes=0.5,
        score_images=60,
        num_paths=2,
        strategy="random",
    )
    search.run(trainings=6)
    nodes = search.tree.node_stats()
    # Three turns of two paths: every prefix has scores of the state after its turn.
    assert {budget.epochs for node in nodes for budget in node.budgets} == {1, 2, 3}
    assert max(len(node.path) for node in nodes) == 3


def test_what_else_would_train_is_refused(tmp_path):
    storage = f"sqlite:///{tmp_path / 'tree.db'}"
    space = LabelSpace(["a", "b"], max_layers=2)
    with pytest.raises(ConfigError, match="weights are shared, and the evaluator is of your own"):
        Search(space=space, evaluator=Own(), weights="shared", storage=storage)
    with pytest.raises(ConfigError, match="shared weights are in one process"):
        Search(dataset="digits", weights="shared", storage=storage, workers=2)


def test_a_turn_is_forecast_by_its_passes():
    data = load_data("digits", train_limit=256)
    config = SearchConfig(dataset="digits", weights="shared", passes=3.0, num_paths=2, min_layers=2, max_layers=2)
    space = default_space(config, data)
    [cost, other] = training_costs(config, space, data, growth=Growth.start(config), trainings=2)
    # 3 passes over 256 images for two paths, and the scores of 180 at a third of a training image.
    assert cost == other == pytest.approx(1.5 * 256 + 60)
    assert isinstance(default_evaluator(config, space, data), SharedEvaluator)
