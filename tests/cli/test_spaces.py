"""`replaytree spaces` and `describe`: what there is to search, and the network of any path."""

import json
import re
import sqlite3

import pytest

from replaytree.cli.options import shape_of
from replaytree.cli.spaces import decision_rows, short
from replaytree.config.option import declared
from replaytree.config.space import LayerOptions
from replaytree.errors import ConfigError
from replaytree.records import Decision, PathEvaluation
from replaytree.space import LabelSpace
from replaytree.space.catalogue import about, named_space, names
from replaytree.space.coding import labels
from replaytree.space.example import example_path
from replaytree.tree import Episode, ReplayTree


def test_the_list_has_every_space(replaytree):
    code, out, err = replaytree("spaces")
    assert (code, err) == (0, "")
    # 24 layers, of which those that halve sides run out on 32 pixels.
    assert re.search(r"^xu24 +layer +1\.9e8$", out, re.M)
    rows = json.loads(replaytree("spaces", "--json")[1])
    assert [row["name"] for row in rows] == list(names())
    assert {"name": "xu24", "decisions": "layer", "paths": 190_102_976, "legality": "counted"}.items() <= rows[
        0
    ].items()
    assert replaytree("spaces", "--format", "csv")[1].startswith(
        "name,decisions,paths,legality,max_layers,about,source\n"
    )


def test_one_space_in_full(replaytree):
    out = replaytree("spaces", "zoph", "--max-layers", 3)[1]
    # 4 kernels x 4 kernels x 4 numbers of filters, three times, and 2^3 ways to skip.
    assert "2,097,152 (2.1e6) at --max-layers 3, on images of 3x32x32" in out
    assert re.search(r"^filter_height +choice +1-3 +1 3 5 7$", out, re.M)
    assert re.search(r"^inputs +inputs +2-3 +any of 1 to t - 1 in layer t$", out, re.M)
    assert re.search(r"^--strides +off ", out, re.M)
    strided = " ".join(replaytree("spaces", "zoph", "--max-layers", 3, "--strides")[1].split())
    assert "1,528,823,808 (1.5e9), counted as if every combination were legal, at" in strided
    assert "stride_height choice 1-3 1 2 3" in strided


def test_a_space_of_cells_in_full(replaytree):
    out = replaytree("spaces", "darts", "--max-layers", 8)[1]
    cell = 1 * 3 * 6 * 10 * 7**8
    assert f"{cell**2:,} (1.1e18) at --max-layers 8, on images of 3x32x32" in out
    assert "nested  no: a training scores the whole path alone" in out
    assert re.search(r"^input1 +input +7-8 +0 1 2 3 4$", out, re.M)
    assert re.search(r"^DARTS_V2 +3x32x32 +10 +3,349,342 +--channels 36 --cells 20 --final ", out, re.M)
    loose = replaytree("spaces", "nasnet")[1]
    assert re.search(r"^--concat +loose ", loose, re.M)


def test_a_published_cell_has_its_published_parameters(replaytree):
    words = ("describe", "--space", "darts", "--path", "DARTS_V2", "--channels", 36, "--cells", 20)
    out = replaytree(*words, "--input", "3x32x32", "--classes", 10)[1]
    assert re.search(r"^params +3,349,342$", out, re.M)


def test_one_space_for_programs(replaytree):
    found = json.loads(replaytree("spaces", "nascell", "--no-two-dimensional", "--max-layers", 2, "--json")[1])
    assert (found["options"], found["nested"], found["input_shape"]) == ({"two_dimensional": False}, True, [3, 32, 32])
    assert found["decisions"][4] == {
        "depth": 2, "name": "kernel", "kind": "choice", "options": ["3", "5", "9", "15", "29", "57", "61"],
    }  # fmt: skip
    assert found["published"]["readme"]["params"] == 507_993
    rows = replaytree("spaces", "nascell", "--format", "csv")[1].splitlines()
    assert rows[:2] == ["depth,name,kind,options", "1,kernel,choice,1 3 5 7"]


def test_the_published_cells_of_a_text_have_words_and_no_images(replaytree):
    out = replaytree("spaces", "darts-rnn", "--max-layers", 8)[1]
    assert "nested  no: a training scores the whole path alone" in out
    assert re.search(r"^paths +2,642,411,520 \(2.6e9\) at --max-layers 8, on text of 10,000 words$", out, re.M)
    assert re.search(r"^published +words +params +options +note$", out, re.M)
    assert re.search(
        r"^ENAS +10000 +27,295,000 +--hidden 850 --ends loose +the ENAS cell in the DARTS code$", out, re.M
    )
    assert re.search(r"^--embedding +- +Numbers of the vector of a word", out, re.M)


def test_a_recurrent_cell_is_described_by_the_word(replaytree):
    out = replaytree("describe", "--space", "enas-rnn", "--path", "ENAS")[1]
    assert out.startswith("enas-rnn: 12 layers on text of 10,000 words, --hidden 748, --ends loose\n")
    assert re.search(r"^node3_in2 +highway-relu +node2_in1 +748 +1,119,008 +1,119,008$", out, re.M)
    assert re.search(r"^params +22,027,104$", out, re.M)
    assert re.search(r"^flops +22,027,104 multiply-adds a word$", out, re.M)
    found = json.loads(
        replaytree(
            "describe", "--space", "nas-rnn", "--path", "NASCell", "--hidden", 6, "--embedding", 4, "--classes", 3,
            "--json",
        )[1]
    )  # fmt: skip
    # 8 leaves of 6x4 and 6x6; the embedding, the decoder's bias, and the projection.
    assert found["params"] == 8 * 60 + 3 * 4 + 3 + 24
    assert (found["space"]["hidden"], found["space"]["embedding"], found["nodes"][1]["inputs"]) == (6, 4, "x h")


def test_a_space_that_these_images_are_too_small_for_is_left_out(replaytree):
    code, out, err = replaytree("spaces", "--input", "1x2x2", "--format", "csv")
    assert code == 0
    assert "note: enas-macro: images of 2x2 pixels cannot be halved twice" in err
    assert "enas-rnn" not in err
    assert out.splitlines()[1].startswith("xu24,layer,")
    assert not any(line.startswith("enas-macro") for line in out.splitlines())


def test_widths_of_a_search_on_a_cpu_are_told(replaytree):
    assert re.search(r"^--width +1, 0\.25 in a search on a CPU ", replaytree("spaces", "xu24")[1], re.M)
    assert re.search(r"^--width +1  ", replaytree("spaces", "tiny")[1], re.M)


class Depths:
    """Decisions that change with the depth."""

    max_layers = 4

    def decisions(self, depth):
        op = Decision("op", ("a", "b") if depth < 3 else ("b",))
        source = Decision("from", tuple(map(str, range(depth))), "input", tuple(range(depth)))
        image = Decision("skips", ("image", "last"), "inputs", (0, depth - 1)) if depth in (2, 4) else None
        return (op, source, *([image] if image else []))


def test_how_decisions_change_with_depth():
    assert list(decision_rows(Depths())) == [
        ("op", "choice", "1-2", "a b"),
        ("op", "choice", "3-4", "b"),
        ("from", "input", "1-4", "one of 0 to t - 1 in layer t"),
        ("skips", "inputs", "2", "image last"),
        ("skips", "inputs", "4", "image last"),
    ]


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (123_456, "123,456"), (190_102_976, "1.9e8"), (64**15 * 2**105, "5.0e58"), (9_960_000, "1.0e7"),
        (9_940_000, "9.9e6"), (10**400, "1.0e400"),
    ],
)  # fmt: skip
def test_large_numbers(number, text):
    assert short(number) == text


def test_every_option_of_a_space_can_be_given():
    for name in names():
        assert set(about(name).defaults) <= set(declared(LayerOptions)), name
    # And there is none that no space has.
    assert set(declared(LayerOptions)) == {option for name in names() for option in about(name).defaults}


def test_the_network_of_a_path(replaytree):
    path = "3x5f36 7x1f24 1x1f48@1+2"
    words = ("describe", "--space", "zoph", "--path", path, "--width", 0.5, "--input", "3x32x32")
    out = replaytree(*words)[1]
    assert "zoph: 3 layers on images of 3x32x32, 10 classes, --width 0.5, --no-strides" in out
    # 18 filters of 3 x 5 pixels on 3 channels, and two numbers of batch norm a filter.
    assert re.search(r"^layer1_3x5f36 +3x5f36 +image +18x32x32 +846 +829,440$", out, re.M)
    assert re.search(r"^layer3_join +concat +layer1_3x5f36 layer2_7x1f24 +30x32x32 +0 +0$", out, re.M)
    found = json.loads(replaytree(*words, "--json")[1])
    assert [node["name"] for node in found["nodes"]] == [
        "layer1_3x5f36", "layer2_7x1f24", "layer3_join", "layer3_1x1f48", "head",
    ]  # fmt: skip
    assert (found["params"], found["labels"]) == (846 + 276 + 768 + 250, path.split())
    # The join's two maps and what it makes of them.
    assert found["peak_bytes"] == 4 * 32 * 32 * 60
    assert found["ram_bytes"] == 32 * 32 * 60
    # Batch norm stands behind ReLU: a factor and a bias a filter, as the parameters count it. The head has biases.
    assert found["flash_bytes"] == found["params"] + 3 * (18 + 12 + 24 + 10)
    assert re.search(r"^RAM +61,440 bytes of maps alive at once, with 8 bits a number$", out, re.M)
    assert replaytree(*words, "--format", "csv")[1].startswith("name,depth,layer,inputs,shape,params,flops\n")


def test_a_published_architecture_brings_its_images_and_options(replaytree):
    found = json.loads(replaytree("describe", "--space", "nascell", "--path", "readme", "--json")[1])
    assert (found["params"], found["space"]["input_shape"]) == (507_993, [1, 28, 28])
    assert found["space"]["two_dimensional"] is False
    other = json.loads(
        replaytree(
            "describe", "--space", "nascell", "--path", "readme", "--input", "1x10x10", "--classes", 2, "--json"
        )[1]
    )
    assert (other["space"]["input_shape"], other["space"]["num_classes"]) == ([1, 10, 10], 2)
    # A head of 55 channels of 100 pixels for 2 classes, in place of 784 pixels for 10.
    assert 507_993 - other["params"] == (55 * 784 + 1) * 10 - (55 * 100 + 1) * 2


def test_a_path_of_numbers(replaytree):
    found = json.loads(replaytree("describe", "--path", "16.0.3", "--json")[1])
    assert (found["labels"], found["space"]["max_layers"]) == (["res128", "conv32k3", "conv64k3"], 3)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["spaces", "zop"], "there is no space 'zop' (--space); did you mean zoph? The spaces are xu24, "),
        (["spaces", "xu24", "--strides"], "space 'xu24' has no option 'strides'; it has width"),
        (["spaces", "--max-layers", "0"], "0 is less than 1"),
        (["describe"], "there is nothing to describe: give the name of a search (`replaytree list`), or --path, and"),
        (["describe", "--node", "3"], "--node 3 is a node of a search; give the search's name, too"),
        (["describe", "--path", ""], "path '' has no layers"),
        (["describe", "--path", "poser"], "layer 1 is 'poser', which is not in this space"),
        (
            ["describe", "--space", "enas-rnn", "--path", "ENAS", "--input", "3x32x32"],
            "enas-rnn is for text, one word at a time (shape 1x1x1), and not for images of 3x32x32",
        ),
        (["describe", "--space", "plain-rnn", "--path", "gru"], "layer 1 is 'gru'; cells of plain-rnn are rnn, lstm"),
        (["describe", "--path", "poser"], "; published architectures: poster"),
        (["describe", "--path", "conv32k3 avg"], "layer 2 is 'avg', which is not in this space; did you mean avg3s2"),
        (
            ["describe", "--path", "avg2s2 avg2s2", "--input", "1x2x2"],
            "layer 2, avg2s2, is illegal there: stride 2 needs sides of at least 2 pixels",
        ),
        (
            ["describe", "--space", "zoph", "--path", "3x5f36 3x5s3x1f36", "--strides", "--input", "1x2x9"],
            "layer 2 is illegal there: stride_height may not be 3 there: the image is 1x2x9",
        ),
        (["describe", "--space", "zoph", "--path", "3x5f36 7x1f24@2"], "which reads layer 2; only layer 1 comes"),
        (["describe", "--path", "poster", "--width", "0.01"], "width is 0.01, which leaves 32 channels none"),
        (["describe", "--path", "poster", "--max-layers", "3"], "the path has 9 layers, more than max_layers, 3"),
        (["describe", "--path", "poster", "--classes", "1"], "1 is less than 2"),
        (["describe", "--path", "poster", "--strides"], "space 'xu24' has no option 'strides'"),
    ],
)  # fmt: skip
def test_what_cannot_be_described(replaytree, words, message):
    code, out, err = replaytree(*words)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert message in err


@pytest.fixture
def skips(here):
    """A search in zoph, of 1x8x8 images with half of the filters, in which two paths were trained."""
    space = named_space("zoph", input_shape=(1, 8, 8), num_classes=10, max_layers=2, width=0.5)
    tree = ReplayTree.create("sqlite:///replaytree.db", "skips", space=space, seed=0, config_json="{}", versions={})
    for path, accuracies in (("3x5f36 7x1f24@1", [0.5, 0.9]), ("1x1f24", [0.6])):
        actions = space.parse(path)
        tree.record([Episode(actions, "sample", 2, 4, True, PathEvaluation(accuracies))], state=b"")
    tree.engine.dispose()
    return space


def test_the_network_of_a_node_of_a_search(replaytree, skips):
    out = replaytree("describe", "skips")[1].splitlines()
    assert out[:2] == [
        "skips, node 2: 3x5f36 7x1f24@1",
        "zoph: 2 layers on images of 1x8x8, 10 classes, --width 0.5, --no-strides",
    ]
    # 18 filters of 3 x 5 pixels on one channel, and two numbers of batch norm a filter.
    assert re.search(r"^layer1_3x5f36 +3x5f36 +image +18x8x8 +306 +17,280$", "\n".join(out), re.M)
    one = json.loads(replaytree("describe", "skips", "--node", "1x1f24", "--json")[1])
    assert (one["labels"], one["space"]["width"], one["params"]) == (["1x1f24"], 0.5, 12 + 24 + 130)
    # Another path of the same space, deeper than the search.
    other = json.loads(replaytree("describe", "skips", "--path", "1x1f24 " * 3, "--json")[1])
    assert (len(other["labels"]), other["space"]["input_shape"]) == (3, [1, 8, 8])


def test_a_node_with_other_options_than_the_search_had(replaytree, skips):
    wide = json.loads(replaytree("describe", "skips", "--node", 3, "--width", 1, "--input", "3x8x8", "--json")[1])
    # 24 filters of one pixel on three channels, batch norm, and a head of 24 channels.
    assert wide["params"] == 72 + 48 + 250
    assert (wide["space"]["width"], wide["space"]["input_shape"]) == (1, [3, 8, 8])
    # With strides the same layer has another number: '3x5f36' is height 1 of 4, width 2 of 4, filters 1 of 4, and
    # strides 0 and 0 of 3 stand between.
    plain = json.loads(replaytree("describe", "skips", "--node", 1, "--json")[1])
    strided = json.loads(replaytree("describe", "skips", "--node", 1, "--strides", "--json")[1])
    assert plain["labels"] == strided["labels"] == ["3x5f36"]
    assert (plain["path"], strided["path"]) == (f"{(1 * 4 + 2) * 4 + 1}", f"{(1 * 4 + 2) * 9 * 4 + 1}")
    assert plain["params"] == strided["params"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nobody"], "no search 'nobody' in sqlite:///replaytree.db; it has: skips"),
        (["skips", "--node", "9"], "search 'skips' has no node '9'; `replaytree best skips` shows"),
        (["skips", "--node", "1", "--path", "1x1f24"], "--node and --path were both given; give one of them"),
        (["skips", "--space", "zoph"], "search 'skips' brings its own layers; leave out --space, or the name"),
        (["skips", "--channels", "8"], "the layers of search 'skips' have no --channels to change"),
        (["skips", "--path", "1x1f24@1"], "layer 1 is '1x1f24@1', which reads layer 1; no layer comes before it"),
        (["skips", "--width", "0.001"], "Error: width is 0.001, which leaves 24 channels none; it must be"),
        (["empty"], "search 'empty' has no evaluated prefix yet; `replaytree resume empty --trainings 10`"),
        (["labels", "--path", "a"], "search 'labels' has labels and no layers, so no network can be built of it"),
    ],
)  # fmt: skip
def test_what_of_a_search_cannot_be_described(replaytree, skips, words, message):
    plain = {"seed": 0, "config_json": "{}", "versions": {}}
    ReplayTree.create("sqlite:///replaytree.db", "empty", space=skips, **plain).engine.dispose()
    ReplayTree.create("sqlite:///replaytree.db", "labels", space=LabelSpace(["a"], max_layers=1), **plain)
    code, out, err = replaytree("describe", *words)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert message in err


def test_how_a_layer_is_written_is_shown_by_an_example(replaytree, every_space):
    out = " ".join(replaytree("spaces", "zoph")[1].split())
    written = (
        "'3x5f64 5x7f24 7x1f36@1+2'; the last layer is filter_height 7, filter_width 1, filters 36, inputs 1 and 2"
    )
    assert f"written {written} decision" in out
    assert "written 'conv32k4 conv32k5 conv64k3' decision" in " ".join(replaytree("spaces", "xu24")[1].split())
    # In every space it is a path that goes on, and its last layer is what is said of it.
    space = every_space(input_shape=(1, 8, 8), max_layers=4)
    path = example_path(space)
    assert len(path) == 3
    assert space.parse(" ".join(labels(space, path))) == path


@pytest.mark.parametrize("text", ["32x32", "3x0x32", "3x32x-1", "RGB", "3x32x32x1", "99999999x1x1", ""])
def test_an_input_that_is_none(text):
    with pytest.raises(ConfigError, match=f"--input is '{text}'; write channels x height x width, as in 3x32x32"):
        shape_of(text)


def test_a_preset_is_stored_as_its_options_and_single_ones_override_it(replaytree):
    code, _, err = replaytree(
        "run", "--preset", "zoph", "--min-layers", 2, "--max-layers", 3, "--trainings", 1, "--epochs", 1,
        "--train-limit", 64, "--hidden-size", 9, "--num-paths", 1, "--quiet",
    )  # fmt: skip
    assert code == 0, err
    with sqlite3.connect("replaytree.db") as connection:
        config = json.loads(connection.execute("select config_json from searches").fetchone()[0])
    assert (config["space"], config["hidden_size"], config["controller_layers"]) == ("zoph", 9, 2)
    # An eighth of one training is less than one episode.
    assert (config["reward_power"], config["grow_by"], config["grow_every"]) == (3.0, 2, 1)
    code, _, err = replaytree("run", "--preset", "zof")
    assert (code, "preset is 'zof'; it must be one of amoebanet, darts, " in err) == (2, True)
