import json
import re

import pytest

from replaytree.config.space import PUBLISHED_DEPTHS, LayerOptions
from replaytree.errors import SpaceError
from replaytree.space.catalogue import USUAL_DATA, about, named_space, names, space_of

IMAGES = {"input_shape": (3, 32, 32), "num_classes": 10, "max_layers": 8}


@pytest.mark.parametrize("name", names())
def test_a_space_is_made_again_from_its_description(name):
    space = named_space(name, **USUAL_DATA[about(name).task], max_layers=8)
    again = space_of(json.loads(json.dumps(space.describe())))
    assert again.describe() == space.describe()
    assert [again.decisions(depth) for depth in (1, 8)] == [space.decisions(depth) for depth in (1, 8)]


@pytest.mark.parametrize("name", names())
def test_every_option_of_a_space_can_be_given_to_a_search(name):
    assert set(about(name).defaults) <= set(vars(LayerOptions()))


@pytest.mark.parametrize("name", names())
def test_what_is_published_can_be_built_and_has_the_stated_parameters(name):
    for each in about(name).published.values():
        space = named_space(
            name, input_shape=each.input_shape, num_classes=each.num_classes, max_layers=len(each.path.split()),
            **each.options,
        )  # fmt: skip
        path = space.parse(each.path)
        assert " ".join(space.label(path[:depth], action) for depth, action in enumerate(path)) == each.path
        if each.params is not None:
            assert space.cost(path)[0] == each.params


def test_the_poster_is_an_architecture_of_xu24():
    assert about("xu24").published["poster"].path.split()[0] == "res128"


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("xu25", {}, "there is no space 'xu25' (--space); did you mean xu24? The spaces are xu24"),
        ("xu24", {"strides": True}, "space 'xu24' has no option 'strides'; it has width"),
        ("xu24", {"width": 0.001}, "width is 0.001, which leaves 32 channels none"),
    ],
)
def test_what_cannot_be_made(name, options, message):
    with pytest.raises(SpaceError, match=re.escape(message)):
        named_space(name, **IMAGES, **options)


def test_a_description_of_a_users_own_space_makes_none():
    assert space_of({"kind": "own", "format": 1, "class": "Mine", "max_layers": 3}) is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 2}, "the space was described by a newer replaytree (format 2, here 1); upgrade this one"),
        ({"input_shape": [3, 32]}, "input_shape is (3, 32)"),
        ({"num_classes": None}, "num_classes is None"),
        ({"surprise": 1}, "space 'xu24' has no option 'surprise'"),
    ],
)
def test_a_damaged_description_is_refused(change, message):
    description = named_space("xu24", **IMAGES).describe() | change
    with pytest.raises(SpaceError, match=re.escape(message)):
        space_of(description)


def test_a_description_without_images_is_refused():
    description = named_space("xu24", **IMAGES).describe()
    del description["input_shape"]
    with pytest.raises(SpaceError, match="a space of kind 'xu24' is described in no way that can be read"):
        space_of(description)


def test_the_published_depths_are_those_of_all_spaces_of_image_cells():
    cells = [each for each in map(about, names()) if each.task == "images" and not each.nested]
    depths = {each.name: {len(one.path.split()) for one in each.published.values()} for each in cells}
    assert depths == {name: {depth} for name, depth in PUBLISHED_DEPTHS.items()}
