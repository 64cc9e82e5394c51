import re

import pytest
from sqlalchemy import update

from replaytree import LabelSpace, Search
from replaytree.errors import SearchNotFound
from replaytree.records import PathEvaluation
from replaytree.tree import rename_search, tree_digest
from replaytree.tree.engine import writing
from replaytree.tree.schema import episodes


class Lengths:
    def evaluate(self, paths, *, budget, seed):
        return [PathEvaluation([t / 10 for t in range(1, len(path) + 1)], train_seconds=seed % 7) for path in paths]


def searched(storage, name, seed=3):
    space = LabelSpace(["a", "b"], max_layers=3)
    search = Search(space=space, evaluator=Lengths(), storage=storage, name=name, strategy="random", seed=seed)
    return search.run(trainings=6)


def test_equal_trees_have_one_hash_in_any_database_and_under_any_name(tmp_path):
    engines = [searched(f"sqlite:///{tmp_path}/{name}.db", name).tree.engine for name in ("one", "two")]
    first = tree_digest(engines[0], "one")
    assert re.fullmatch("[0-9a-f]{64}", first)
    rename_search(engines[1], "two", "three")
    with writing(engines[1]) as connection:
        connection.execute(update(episodes).values(train_seconds=99.0))
    assert tree_digest(f"sqlite:///{tmp_path}/two.db", "three") == first


def test_another_accuracy_path_or_order_is_another_hash(tmp_path):
    storage = f"sqlite:///{tmp_path}/s.db"
    hashes = {tree_digest(searched(storage, f"s{seed}", seed).tree.engine, f"s{seed}") for seed in range(3)}
    assert len(hashes) == 3
    search = searched(storage, "changed")
    before = tree_digest(search.tree.engine, "changed")
    search.run(trainings=1)
    assert tree_digest(search.tree.engine, "changed") != before
    with pytest.raises(SearchNotFound):
        tree_digest(storage, "none")
