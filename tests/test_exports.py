import subprocess
import sys
import types

import pytest

import replaytree
from replaytree import tree


@pytest.mark.parametrize("name", replaytree.__all__)
def test_every_exported_name_is_there(name):
    assert getattr(replaytree, name) is not None


def test_the_tree_lists_each_name_once_and_has_it():
    assert sorted(tree._HOMES) == sorted(tree.__all__) == sorted(dir(tree))
    for name in tree.__all__:
        assert not isinstance(getattr(tree, name), types.ModuleType)


def test_exports_are_sorted_and_listed():
    assert replaytree.__all__ == sorted(replaytree.__all__)
    assert dir(replaytree) == replaytree.__all__
    with pytest.raises(AttributeError, match="no attribute 'Serach'"):
        _ = replaytree.Serach


def test_reading_a_tree_does_not_import_torch():
    code = "import sys, replaytree.cli, replaytree.tree; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_wrong_option_is_told_before_torch_is_imported():
    call = "try: replaytree.cli.main(['run', '--batch-size', '0'])\nfinally: assert 'torch' not in sys.modules"
    code = f"import sys, replaytree.cli\n{call}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.count("batch_size is 0")) == (2, 1), done.stderr
