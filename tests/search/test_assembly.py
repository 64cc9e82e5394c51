"""Which space a search gets: the named one, with its options, within its limits."""

import json
from typing import ClassVar

import pytest

import replaytree
from replaytree.errors import ConfigError
from replaytree.records import Decision
from replaytree.space import ChainPlan, DecisionSpace
from replaytree.space.catalogue import PLANS, named_space
from replaytree.space.layers import Convolution, Pooling

KERNELS = Decision("kernel", ("1", "3"))
KINDS = Decision("kind", ("convolution", "pooling"))


class Made(ChainPlan):
    """Convolutions and pooling by decisions; `strides` decides on the stride, too."""

    name = "made"
    about = "Made for this test."
    source = "this file"
    defaults: ClassVar = {"width": 1.0, "strides": False}
    published: ClassVar = {}

    def __init__(self, *, width, strides, **common):
        self._given = {"width": width, "strides": strides}
        decisions = (KINDS, KERNELS, *([Decision("stride", ("1", "2"))] if strides else []))
        super().__init__(decisions, lambda options: self._made(width, **options), **common, name="made")

    def options(self):
        return self._given

    def _made(self, width, kind, kernel, stride="1"):
        if kind == "pooling":
            return Pooling("max", int(kernel), int(stride)) if kernel == "3" else None
        return Convolution(32, int(kernel), int(stride), width)


class Widthless(Made):
    """The same, whose layers have one width."""

    name = "widthless"
    defaults: ClassVar = {"strides": False}

    def __init__(self, **options):
        super().__init__(width=0.25, **options)

    def options(self):
        return {"strides": self._given["strides"]}


@pytest.fixture(autouse=True)
def _named(monkeypatch):
    monkeypatch.setitem(PLANS, "made", Made)
    monkeypatch.setitem(PLANS, "widthless", Widthless)


QUICK = {"storage": "sqlite://", "train_limit": 100, "min_layers": 2, "max_layers": 3, "epochs_first": 1}


def stored(search):
    return json.loads(search.tree.info().config_json)


def test_a_space_by_name_with_its_options():
    search = replaytree.Search(space="made", strides=True, device="cpu", **QUICK).run(trainings=2)
    assert type(search.space) is DecisionSpace
    assert [decision.name for decision in search.space.decisions(1)] == ["kind", "kernel", "stride"]
    # On a CPU the layers are narrow; 32 channels become 8.
    graph = search.space.network(search.space.parse("kindconvolution-kernel3-stride2"))
    assert graph.end_shape == (8, 4, 4)
    assert {name: stored(search)[name] for name in ("space", "width", "strides", "two_dimensional")} == {
        "space": "made", "width": 0.25, "strides": True, "two_dimensional": None,
    }  # fmt: skip
    assert search.training_count == 2


def test_only_spaces_with_a_width_get_one():
    search = replaytree.Search(space="widthless", device="cpu", **QUICK)
    assert (stored(search)["width"], stored(search)["strides"]) == (None, False)


def test_a_space_of_small_layers_keeps_its_channels_on_a_cpu():
    search = replaytree.Search(space="tiny", device="cpu", **QUICK)
    assert stored(search)["width"] == 1.0
    assert search.space.network(search.space.parse("separable3-8")).end_shape == (8, 8, 8)
    assert stored(replaytree.Search(space="tiny", device="cpu", width=0.5, **QUICK))["width"] == 0.5


def test_limits_that_leave_nothing_that_learns():
    with pytest.raises(ConfigError, match="--max-params 40 leaves only layers that learn nothing, such as pooling"):
        replaytree.Search(space="made", max_params=40, **QUICK)
    with pytest.raises(ConfigError, match="the least that learns, has 114 parameters; raise it, or lower --width"):
        replaytree.Search(space="made", max_params=113, **QUICK)
    # Pooling and a head on one channel have 20 parameters; 32 x 0.25 channels of a 1x1 convolution, 24 + 90.
    assert replaytree.Search(space="made", max_params=114, **QUICK).space.max_params == 114


def test_a_space_that_never_learns_is_the_users_wish():
    from replaytree.space.learning import can_learn

    pooling = ChainPlan(
        (Decision("kernel", ("2", "3")),), lambda options: Pooling("avg", int(options["kernel"]), 2),
        input_shape=(1, 8, 8), num_classes=10, max_layers=3,
    )  # fmt: skip
    assert can_learn(DecisionSpace(pooling)) is False
    assert can_learn(named_space("xu24", input_shape=(1, 8, 8), num_classes=10, max_layers=3)) is True
    search = replaytree.Search(space=DecisionSpace(pooling), dataset="digits", max_params=30, **QUICK)
    assert search.space.max_params == 30


@pytest.mark.parametrize(("space", "rate"), [("xu24", 0.1), ("zoph", 0.1), ("metaqnn", 0.01), ("nascell", 0.01)])
def test_the_rate_is_lower_in_spaces_without_batch_norm(space, rate):
    search = replaytree.Search(storage="sqlite://", dataset="digits", train_limit=100, space=space, max_layers=3)
    assert search.config.recipe.learning_rate == rate
