"""The space of a stored search: rebuilt where it can be, asked for where only its author has it."""

import json
import re

import pytest
from sqlalchemy import text

import replaytree
from replaytree.errors import CorruptTree, SpaceError
from replaytree.records import PathEvaluation
from replaytree.space import ConstrainedSpace
from replaytree.space.latency_table import LatencyTable, distinct_layers, key_of, write_table
from replaytree.space.layers import Classifier
from replaytree.tree import ReplayTree, check, open_engine
from replaytree.tree.engine import writing

IMAGES = {"input_shape": (1, 8, 8), "num_classes": 10, "max_layers": 4}


class Lengths:
    """Longer paths are better."""

    def evaluate(self, paths, *, budget, seed):
        return [PathEvaluation([0.1 * depth for depth in range(1, len(path) + 1)]) for path in paths]


def convolution(kernel, filters):
    return replaytree.Convolution(filters, kernel)


SPACES = {
    "labels": replaytree.LabelSpace(["a", "b"], max_layers=4),
    "layers": replaytree.LayerSpace([replaytree.Convolution(8, 3), replaytree.Pooling("max", 3, 1)], **IMAGES),
    "xu24": replaytree.named_space("xu24", **IMAGES, width=0.25),
    "zoph": replaytree.named_space("zoph", **IMAGES),
    "own": replaytree.chain_space({"kernel": [1, 3], "filters": [4, 8]}, convolution, **IMAGES),
    "functions": replaytree.LabelSpace(["a", "b"], max_layers=4, cost=lambda path: (len(path), 7)),
}
REBUILT = ["labels", "layers", "xu24", "zoph"]
OPTIONS = {"strategy": "random", "min_layers": 2, "epochs_first": 1, "epochs_last": 1}


@pytest.fixture
def storage(tmp_path):
    return f"sqlite:///{tmp_path}/test.db"


def begun(storage, space, **options):
    search = replaytree.Search(
        name="first", space=space, evaluator=Lengths(), storage=storage, **OPTIONS | options
    ).run(trainings=4)
    search.tree.engine.dispose()
    return search


def resumed(storage, **given):
    return replaytree.Search.resume("first", evaluator=Lengths(), storage=storage, **given)


@pytest.mark.parametrize("name", REBUILT)
def test_a_space_without_code_of_its_own_need_not_be_given_again(storage, name):
    begun(storage, SPACES[name])
    again = resumed(storage).run(trainings=2)
    assert again.training_count == 6
    given = resumed(storage, space=SPACES[name]).run(trainings=2)
    assert given.training_count == 8
    assert check(open_engine(storage)) == []


def test_a_rebuilt_space_may_be_deeper(storage):
    begun(storage, SPACES["zoph"])
    search = resumed(storage, max_layers=6).run(trainings=1)
    assert (search.space.max_layers, search.tree.info().space["max_layers"]) == (6, 6)


@pytest.mark.parametrize(
    ("name", "why"), [("own", "ChainPlan is your own code"), ("functions", "its cost() is your own code")]
)
def test_a_space_of_ones_own_is_asked_for(storage, name, why):
    begun(storage, SPACES[name])
    message = (
        f"search 'first' has a space of its own, which the database does not hold ({why}); give it again in Python: "
        f"replaytree.Search.resume('first', space=...)"
    )
    with pytest.raises(SpaceError, match=re.escape(message)):
        resumed(storage)
    assert resumed(storage, space=SPACES[name]).run(trainings=1).training_count == 5


@pytest.mark.parametrize(
    ("name", "other", "message"),
    [
        ("labels", "own", "search 'first' was made with layers of layer, and the space given has kernel, filters"),
        ("labels", "functions", "functions None, and the space given has ['cost']"),
        ("zoph", "xu24", "layers of filter_height, filter_width, filters, and the space given has layer"),
        ("own", "zoph", "layers of kernel, filters, and the space given has filter_height"),
    ],
)
def test_a_space_that_is_not_the_stored_one(storage, name, other, message):
    begun(storage, SPACES[name])
    with pytest.raises(SpaceError, match=re.escape(message)):
        resumed(storage, space=SPACES[other])


def test_layers_of_another_width_are_others(storage):
    begun(storage, SPACES["xu24"])
    with pytest.raises(
        SpaceError, match=re.escape("width 0.25, and the space given has 0.5; the spaces must be equal")
    ):
        resumed(storage, space=replaytree.named_space("xu24", **IMAGES, width=0.5))


def test_limits_of_a_space_stand_in_the_configuration(storage):
    limits = {"max_params": 4000, "max_flops": 100_000}
    begun(storage, ConstrainedSpace(SPACES["xu24"], **limits), max_params=3000)
    info = ReplayTree.open(storage, "first").info()
    assert (info.config.space.max_params, info.config.space.max_flops) == (3000, 100_000)
    assert info.space["kind"] == "xu24"
    again = resumed(storage).run(trainings=4)
    assert isinstance(again.space, ConstrainedSpace)
    assert all(node.params <= 3000 for node in again.tree.nodes())
    with pytest.raises(SpaceError, match="was made with max_params 3000, and the space given has 500"):
        resumed(storage, space=ConstrainedSpace(SPACES["xu24"], max_params=500))


@pytest.mark.parametrize(("own", "asked", "kept"), [(2.0, 0.75, 0.75), (0.75, 2.0, 0.75), (0.75, None, 0.75)])
def test_of_two_limits_on_latency_the_lower_holds(storage, tmp_path, own, asked, kept):
    space = replaytree.LayerSpace([replaytree.Convolution(8, 3)], **IMAGES | {"max_layers": 1})
    parts = distinct_layers(space)
    table = LatencyTable({key_of(*part): 0.25 if isinstance(part[0], Classifier) else 0.5 for part in parts})
    write_table(tmp_path / "lat.csv", table, parts)
    limited = ConstrainedSpace(space, max_latency=own, table=table)
    search = begun(
        storage, limited, latency_table=str(tmp_path / "lat.csv"), max_latency=asked, max_layers=1, min_layers=1
    )
    assert search.tree.info().config.space.max_latency == kept
    assert search.space.limits == {"max_latency": kept}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 9}, "the space was described by a newer replaytree (format 9, here 1); upgrade this one"),
        ({"kind": "nasnet-9"}, "the space is of kind 'nasnet-9', which is not known here"),
        ({"width": "wide"}, "a space of kind 'xu24' is described in no way that can be read"),
        ({"kind": "own"}, "a space of kind 'own' is described in no way that can be read"),
    ],
)
def test_a_description_that_cannot_be_read_is_one_line(storage, change, message):
    begun(storage, SPACES["xu24"])
    engine = open_engine(storage)
    with writing(engine) as connection:
        space = json.loads(connection.scalar(text("SELECT space_json FROM searches")))
        connection.execute(text("UPDATE searches SET space_json = :space"), {"space": json.dumps(space | change)})
    for given in ({}, {"space": SPACES["xu24"]}):
        with pytest.raises(CorruptTree, match=re.escape(message)) as raised:
            resumed(storage, **given)
        assert "\n" not in str(raised.value)
    assert [problem.invariant for problem in check(engine)] == ["table searches, row 1, column space_json"]
    engine.dispose()
