"""Every kind of layer in the named spaces is what it says of itself, the memory of its training included."""

from replaytree.space.layers import Classifier


def test_layers_agree_with_their_modules_and_sources(every_space, random_paths, agrees):
    space = every_space(input_shape=(3, 12, 12), max_layers=4)
    # Two layers a kind, each at the maps that it first reads. A head makes logits, which are no map.
    found = {}
    for path in random_paths(space, 8, seed=5):
        for layer, shapes in space.network(path).parts():
            of_kind = found.setdefault(type(layer), {})
            if len(of_kind) < 2 and not isinstance(layer, Classifier):
                of_kind.setdefault(layer, shapes)
    for of_kind in found.values():
        for layer, shapes in of_kind.items():
            agrees(layer, *shapes)
