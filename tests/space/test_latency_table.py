import csv
import re

import pytest

from replaytree.errors import ConfigError, SpaceError
from replaytree.space import Convolution, CustomLayer, LayerSpace, Pooling
from replaytree.space.catalogue import named_space
from replaytree.space.latency_table import LatencyTable, distinct_layers, key_of, read_table, write_table
from replaytree.space.layers import Classifier

LAYERS = [Convolution(4, 3), Pooling("max", 2, 2)]


def space(max_layers=2, layers=LAYERS, shape=(1, 4, 4)):
    return LayerSpace(layers, input_shape=shape, num_classes=3, max_layers=max_layers)


def labelled(parts):
    return {(layer.label, *shapes) for layer, shapes in parts}


def test_every_layer_at_every_map_with_the_heads():
    assert labelled(distinct_layers(space())) == {
        ("conv4k3", (1, 4, 4)), ("max2s2", (1, 4, 4)), ("head", (4, 4, 4)), ("head", (1, 2, 2)),
        ("conv4k3", (4, 4, 4)), ("max2s2", (4, 4, 4)), ("conv4k3", (1, 2, 2)), ("max2s2", (1, 2, 2)),
        ("head", (4, 2, 2)), ("head", (1, 1, 1)),
    }  # fmt: skip
    deep = distinct_layers(space(max_layers=3))
    # Pooling of 1x1 is illegal.
    assert labelled(deep) - labelled(distinct_layers(space())) == {
        ("conv4k3", (4, 2, 2)), ("max2s2", (4, 2, 2)), ("conv4k3", (1, 1, 1)), ("head", (4, 1, 1)),
    }  # fmt: skip
    assert len(deep) == len(labelled(deep))


@pytest.mark.parametrize("name", ["xu24", "tiny", "nascell", "metaqnn"])
def test_whatever_a_path_has_is_there(name, random_paths):
    chosen = named_space(name, input_shape=(1, 8, 8), num_classes=3, max_layers=3)
    known = {key_of(*part) for part in distinct_layers(chosen)}
    for path in random_paths(chosen, 12, seed=1):
        for depth in range(1, len(path) + 1):
            assert {key_of(*part) for part in chosen.network(path[:depth]).parts()} <= known


def test_the_latency_of_a_network_is_the_sum():
    found = {key_of(layer, shapes): 2.0**place for place, (layer, shapes) in enumerate(distinct_layers(space()))}
    table = LatencyTable(found, network=0.25)
    parts = [(LAYERS[0], ((1, 4, 4),)), (LAYERS[1], ((4, 4, 4),)), (Classifier(3), ((4, 2, 2),))]
    assert table.latency_ms(space().network((0, 1))) == 0.25 + sum(found[key_of(*part)] for part in parts)
    table.require(space())


def test_a_table_of_another_space_or_with_holes_names_the_layer():
    parts = distinct_layers(space())
    table = LatencyTable({key_of(*part): 1.0 for part in parts}, origin="lat.csv")
    with pytest.raises(
        SpaceError, match=r"lat\.csv has no layer conv4k3 of this width at 2x4x4, and \d more of 10; measure them"
    ):
        table.require(space(shape=(2, 4, 4)))
    holes = LatencyTable({key_of(*part): 1.0 for part in parts if part[1] != ((1, 1, 1),)}, origin="lat.csv")
    with pytest.raises(SpaceError, match=r"^lat\.csv has no layer head of this width at 1x1x1; measure them with"):
        holes.require(space())
    with pytest.raises(SpaceError, match="has no layer head of this width at 1x1x1; measure it"):
        holes.latency_ms(space().network((1, 1)))


def test_spaces_that_no_table_can_name():
    with pytest.raises(SpaceError, match="a latency table is for chains"):
        distinct_layers(named_space("zoph", input_shape=(1, 8, 8), num_classes=3, max_layers=3))
    own = CustomLayer("own", lambda shape: None, output_shape=lambda shape: shape, cost=lambda shape: (1, 1))
    with pytest.raises(SpaceError, match="layer own is one of your own, which no latency table can name"):
        distinct_layers(space(layers=[own, *LAYERS]))


def test_a_table_is_read_as_it_was_written(tmp_path):
    parts = distinct_layers(space())
    table = LatencyTable({key_of(*part): 0.5 + place for place, part in enumerate(parts)}, 0.125)
    write_table(tmp_path / "lat.csv", table, parts)
    found = read_table(tmp_path / "lat.csv")
    assert (found.layers, found.network) == (table.layers, 0.125)
    with (tmp_path / "lat.csv").open() as stream:
        first = next(csv.DictReader(stream))
    assert first == {"layer": "network", "inputs": "", "milliseconds": "0.125000", "description": ""}


HEADINGS = "layer,inputs,milliseconds,description\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("layer,inputs\n", "has no column milliseconds; a latency table has the columns layer, inputs, milli"),
        (HEADINGS, "has no layers"),
        (HEADINGS + "c,1x2x2,fast,{}\n", "line 2: milliseconds are 'fast'"),
        (HEADINGS + "c,1x2x2,-1,{}\n", "line 2: milliseconds are '-1'"),
        (HEADINGS + "c,1x2x2,nan,{}\n", "line 2: milliseconds are 'nan'"),
        (HEADINGS + "c,1x2x2,1,?\n", "line 2: '?' does not describe a layer"),
        (HEADINGS + "c,1x2x2,1,{}\n" * 2, "line 3: layer c at 1x2x2 stands there"),
    ],
)
def test_files_that_are_no_tables(tmp_path, text, message):
    (tmp_path / "lat.csv").write_text(text)
    with pytest.raises(ConfigError, match=re.escape(message)):
        read_table(tmp_path / "lat.csv")


def test_a_width_of_1_is_one_of_1_0(tmp_path):
    shapes = ((1, 4, 4),)
    assert key_of(Convolution(4, 3, width=1), shapes) == key_of(Convolution(4, 3, width=1.0), shapes)
    table = LatencyTable({key_of(Convolution(4, 3, width=0.5), shapes): 1.0})
    write_table(tmp_path / "lat.csv", table, [(Convolution(4, 3, width=0.5), shapes)])
    text = (tmp_path / "lat.csv").read_text().replace(": 0.5", ": 1.0")
    (tmp_path / "lat.csv").write_text(text)
    assert key_of(Convolution(4, 3, width=1), shapes) in read_table(tmp_path / "lat.csv").layers


def test_a_file_that_is_not_there():
    with pytest.raises(ConfigError, match=r"no latency table gone\.csv; check"):
        read_table("gone.csv")
