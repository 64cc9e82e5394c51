"""What people and programs are shown of searches of images and of text."""

import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from replaytree.cli.console import FINAL_FORM, beside, node_row, nodes_lines, print_nodes, search_row, searches_lines
from replaytree.metric import ACCURACY, PERPLEXITY
from replaytree.tree import Node, SearchInfo

NODE = Node(
    node_id=3, search="s", path=(0,), labels=("tanh",), depth=1, action=0, label="tanh", output_shape=None, params=10,
    flops=20, epochs=4, average_accuracy=0.01, budget_evaluation_count=2, evaluation_count=2, visit_count=2,
    training_bound=0.008, lower_bound=0.008,
)  # fmt: skip
IMAGES = SearchInfo(
    name="pictures", task="images", created_at=datetime(2026, 1, 2, tzinfo=UTC), seed=0, config_json="{}",
    space_json="{}", data_json=None, versions={}, episode_count=5, training_count=5, node_count=9, max_depth=2,
    best_accuracy=0.9, best_lower_bound=0.85, max_epochs=4,
)  # fmt: skip
TEXT = replace(IMAGES, name="words", task="text", best_accuracy=0.01, best_lower_bound=0.008)


def test_a_node_of_text_has_its_perplexity_beside_the_fraction():
    row = node_row(NODE, PERPLEXITY)
    assert (row["average_accuracy"], row["perplexity"]) == (0.01, 100.0)
    assert "perplexity" not in node_row(NODE, ACCURACY)
    heading, line = nodes_lines([row], width=200, metric=PERPLEXITY)
    assert heading.split()[:4] == ["node", "perplexity", "at", "most"]
    assert line.split()[:3] == ["3", "100.00", "125.00"]
    # JSON has no infinity.
    assert beside(PERPLEXITY, "best_", 0.0) == {"best_perplexity": None}


@pytest.mark.parametrize("is_known", [True, False])
def test_a_table_says_of_which_form_its_costs_are(capsys, is_known):
    node = replace(NODE, ram_bytes=512, flash_bytes=99) if is_known else replace(NODE, ram_bytes=None)
    for has_final_form in (True, False):
        print_nodes([node], "table", metric=ACCURACY, has_final_form=has_final_form)
        last = capsys.readouterr().out.splitlines()[-1]
        assert (last == FINAL_FORM) is (has_final_form and is_known)
    print_nodes([node], "json", metric=ACCURACY, has_final_form=True)
    assert len(json.loads(capsys.readouterr().out)) == 1


def test_searches_of_one_task_have_its_name_in_the_heading():
    assert "best accuracy" in searches_lines([IMAGES], width=200)[0]
    assert "at least" in searches_lines([IMAGES], width=200)[0]
    heading, line = searches_lines([TEXT], width=200)
    assert ("best perplexity" in heading, "at most" in heading) == (True, True)
    assert ("100.00" in line, "125.00" in line) == (True, True)


def test_a_search_by_macro_f1_says_so_and_one_with_a_broken_configuration_is_listed():
    macro = replace(IMAGES, config_json='{"reward": "macro-f1"}')
    assert "best macro F1" in searches_lines([macro], width=200)[0]
    assert beside(macro.metric, "best_", 0.9) == {"best_macro_f1": 0.9}
    assert beside(ACCURACY, "best_", 0.9) == {}
    assert "macro F1 0.9000" in searches_lines([IMAGES, macro], width=200)[2]
    for broken in ("{", "[]", '{"reward": "luck"}', '{"reward": []}'):
        assert replace(IMAGES, config_json=broken).metric is ACCURACY


def test_searches_of_both_tasks_say_what_their_numbers_are():
    heading, pictures, words = searches_lines([IMAGES, TEXT], width=200)
    assert ("accuracy" in heading, "perplexity" in heading) == (False, False)
    assert "accuracy 0.9000" in pictures
    assert "perplexity 100.00" in words
    assert search_row(TEXT)["best_perplexity"] == 100.0
    assert "best_perplexity" not in search_row(IMAGES)
