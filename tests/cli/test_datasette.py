"""`datasette-metadata`: the file it writes, and what it refuses."""

import json

from replaytree import LabelSpace, ReplayTree


def test_it_writes_the_file_once(replaytree, here):
    space = LabelSpace(["a"], max_layers=1)
    ReplayTree.create("sqlite:///replaytree.db", "own", space=space, seed=0, config_json='{"seed": 0}', versions={})
    code, out, err = replaytree("datasette-metadata")
    assert (code, err) == (0, "")
    assert out.endswith("  datasette replaytree.db --metadata metadata.json --open\n")
    assert "own" in json.loads((here / "metadata.json").read_text())["databases"]["replaytree"]["description_html"]
    code, out, err = replaytree("datasette-metadata")
    assert (code, out, err) == (
        2, "", "Error: metadata.json exists; choose another file with --out, or give --force to replace it\n"
    )  # fmt: skip
    assert replaytree("datasette-metadata", "--force")[0] == 0
    code, _, err = replaytree("datasette-metadata", "--out", "none/m.json")
    assert (code, err.splitlines()[-1]) == (2, "Error: none/m.json: No such file or directory")
