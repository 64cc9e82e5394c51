import re

import pytest

from replaytree.errors import SpaceError
from replaytree.space import LabelSpace, label_space


class TestLabelSpace:
    def test_all_labels_may_follow_one_another(self):
        space = LabelSpace(["identity", "mb3k3"], max_layers=2)
        assert space.labels == ("identity", "mb3k3")
        assert space.legal((1,)) == (True, True)
        assert space.legal((1, 0)) == (False, False)
        assert space.parse("mb3k3 identity") == space.parse("1.0") == (1, 0)
        assert space.cost((1,)) is None
        assert space.output_shape((1,)) is None
        described = {"kind": "labels", "format": 1, "labels": ["identity", "mb3k3"], "max_layers": 2}
        assert space.describe() == described
        own = LabelSpace(["identity", "mb3k3"], max_layers=2, cost=lambda path: None)
        assert own.describe() == described | {"functions": ["cost"]}

    def test_cost_is_the_makers(self):
        assert LabelSpace(["a"], max_layers=3, cost=lambda path: (len(path), 7)).cost((0, 0)) == (2, 7)

    def test_legal_is_the_makers_and_is_asked_once(self):
        asked = []

        def never_twice(prefix):
            asked.append(prefix)
            return [not prefix or prefix[-1] != action for action in range(3)]

        space = LabelSpace(["a", "b", "c"], max_layers=4, legal=never_twice)
        assert space.legal((0, 1)) == (True, False, True)
        assert space.legal((0, 1)) == (True, False, True)
        assert asked == [(), (0,), (0, 1)]
        message = "layer 3, b, is illegal there: the space's legal() says so after 'a b'"
        for method in (space.check, space.legal, space.cost):
            with pytest.raises(SpaceError, match=re.escape(message)):
                method((0, 1, 1))

    def test_caches_never_change_an_answer(self, monkeypatch):
        monkeypatch.setattr(label_space, "MAX_CACHED_PREFIXES", 1)
        space = LabelSpace(["a", "b"], max_layers=4, legal=lambda prefix: [True, len(prefix) < 2])
        assert [space.legal((0,) * t)[1] for t in (2, 1, 3, 0)] == [False, True, False, True]
        assert len(space._masks) == 1

    @pytest.mark.parametrize(
        ("mask", "message"),
        [
            ([True], "legal(()), after '', has 1 values; it must have 2: one an action"),
            ([True] * 3, "legal(()), after '', has more than 2 values; it must have 2"),
            (
                [0, 0],
                "legal(()), after '', allows nothing; only behind a layer may a path end, so allow at least one there",
            ),
            (["yes", "no"], "action 0, is 'yes'; it must be True or False"),
            ([1.0, float("nan")], "action 0, is 1.0; it must be True or False"),
            (None, "legal(()), after '', is None; it must be one bool an action"),
        ],
    )
    def test_masks_that_cannot_be(self, mask, message):
        with pytest.raises(SpaceError, match=re.escape(message)):
            LabelSpace(["a", "b"], max_layers=4, legal=lambda prefix: mask).legal(())

    @pytest.mark.parametrize(
        ("labels", "message"),
        [
            ([], "the space has no layers; give at least one"),
            (["a", "b", "a"], "layers 0 and 2 have the same label, 'a'; make labels unique"),
            (["a", "b c"], "label 'b c' has white space or a comma in it; use '_' or '-' instead"),
            (["a", "\tb"], "label '\\tb' has white space"),
            (["a", None], "label None is not a name"),
            ("a b", "labels is one text, 'a b'; it must be a list, as in ['a', 'b']"),
        ],
    )
    def test_labels_that_cannot_be(self, labels, message):
        with pytest.raises(SpaceError, match=re.escape(message)):
            LabelSpace(labels, max_layers=4)

    def test_max_layers_must_be_at_least_1(self):
        with pytest.raises(SpaceError, match="max_layers is 0; it must be a whole number of at least 1"):
            LabelSpace(["a"], max_layers=0)

    @pytest.mark.parametrize(
        ("path", "message"),
        [((0, 2), "layer 2 is 2, which is no index of this space; use 0 to 1"), ((0,) * 5, "the path has 5 layers")],
    )
    def test_illegal_paths(self, path, message):
        with pytest.raises(SpaceError, match=re.escape(message)):
            LabelSpace(["a", "b"], max_layers=4).legal(path)

    def test_labels_cannot_be_built(self):
        with pytest.raises(SpaceError, match="a LabelSpace has labels and no layers, so no network can be built"):
            LabelSpace(["a"], max_layers=1).build((0,), 10)
