import re
from html import unescape

import pytest

from replaytree.errors import ConfigError, StorageError
from replaytree.report import write_report
from replaytree.report.reading import read_search
from replaytree.report.sections.tree import tree_columns
from replaytree.tree import ReplayTree, record_model

HOSTILE = "<script>alert(1)</script>"


@pytest.fixture
def written(tmp_path):
    def written(tree, **options):
        return write_report(tree, out=tmp_path / "reports", **options).read_text(encoding="utf-8")

    return written


def shown(page):
    """The page without its scripts and its style."""
    return re.sub(r"<(script|style)\b.*?</\1>", "", page, flags=re.S)


def test_the_answer_comes_first_and_headings_say_the_findings(tree, written):
    headings = [
        " ".join(text.split()) for _, text in re.findall(r"<(h[12])[^>]*>(.*?)</\1>", shown(written(tree)), re.S)
    ]
    assert headings == [
        "Best: 0.750 after 1 layer",
        "6 prefixes kept, up to 3 layers deep",
        "The best prefix has been ranked first since the 4th of 4 trainings",
        "1 layer gave the best prefix, 0.750; 2 came to 0.500",
        "Nothing cheaper comes within a point of the best, at least 0.704",
        "The search’s accuracies are validation accuracies",
    ]


def test_the_page_asks_the_network_for_nothing(tree, written):
    page = shown(written(tree))
    assert not re.findall(r'(?:src|href)="(?!#)[^"]*"', page)
    assert "default-src 'none'" in unescape(page)
    assert "unsafe-eval" not in page


def test_names_are_escaped_wherever_they_stand(grow, golden, named, written):
    tree = named(grow(golden, labels=(HOSTILE, "</script>", "<!--"), config={"dataset": HOSTILE}), HOSTILE)
    companion = named(grow(golden, "luck", config={"strategy": "random"}), f"{HOSTILE}2")
    page = written(tree, against=companion)
    assert HOSTILE not in page
    assert page.count("<script") == page.count("</script>") == 3
    assert "<!--" not in shown(page)
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "replaytree retrain &#39;&lt;script&gt;" in page


def test_a_search_without_evaluations_has_a_page_that_says_so(grow, written):
    page = written(grow([]))
    assert "Nothing has been measured yet" in page
    assert "replaytree resume first" in page


def test_the_comparison_with_random_search_says_what_it_is(tree, grow, golden, training, written):
    assert "No random search to compare with" in written(tree)
    companion = grow([training((0,), 0.3)], "luck", config={"strategy": "random"})
    page = written(grow([training((0,), 0.9)], "good"), against=companion)
    assert "60.0 points better than random search after the same 1 training" in page
    assert "“luck”" in page
    assert "No fair comparison" in written(tree, against=companion)
    assert "This search is random search itself" in written(grow(golden, "own", config={"strategy": "random"}))


def test_the_interval_says_what_it_is(tree, grow, golden, written):
    assert "n = 100 validation images" in written(tree)
    assert "optimistic" in written(tree)
    assert "neither images nor repeated trainings" in written(grow(golden, "own", data_json=None))


def test_retrained_models_and_that_the_test_images_were_looked_at(tree, written):
    assert "The test images were not looked at" in shown(written(tree))
    for seed, accuracy in enumerate((0.7, 0.72, 0.74)):
        record_model(
            tree.engine,
            labels=("conv1",),
            seed=seed,
            epochs=30,
            test_accuracy=accuracy,
            test_image_count=300,
            weights_path=f"/models/first-seed{seed}.safetensors",
            search="first",
            node_id=tree.best(1)[0].node_id,
        )
    page = " ".join(shown(written(tree)).split())
    assert "The test images were not looked at" not in page
    assert "Retrained: 0.720 on the test images, mean of 3 seeds" in page
    assert "Best: 0.720 on the test images after 1 layer; 0.750 in the search" in page
    # tests/tree/test_mean_accuracy.py reckons these three intervals.
    for part in (
        "0.7200",
        "0.647 – 0.789",
        "0.670 – 0.770",
        "0.667 – 0.768",
        "n = 300",
        "0, 1, 2",
        "/models/first-seed2.safetensors",
        "1</a> (best)",
    ):
        assert part in page
    top = "<dt>test accuracy, retrained</dt><dd>0.7200<small>30 epochs, 3 seeds, 95 % interval 0.647 – 0.789</small>"
    assert top in page


def test_a_page_calls_figures_by_what_the_search_was_rewarded_for(grow, golden, written):
    tree = grow(golden, config={"reward": "macro-f1"})
    record_model(
        tree.engine, labels=("pool1",), seed=0, epochs=1, test_accuracy=0.5, test_image_count=9, search="first",
        weights_path="/models/other.safetensors",
    )  # fmt: skip
    page = " ".join(shown(written(tree)).split())
    for part in ("<dt>average macro F1</dt>", "by its validation macro F1", "Macro F1 against parameters"):
        assert part in page
    # Models are told by their accuracy; and that this one is not the answer.
    assert "<dt>test accuracy, retrained</dt><dd>0.5000<small><b>not of this prefix</b>; 1 epoch, 1 seed" in page
    assert re.findall("average accuracy|validation accuracy", page) == []


def test_the_headline_names_both_figures_where_they_are_of_two_kinds(grow, golden, written):
    tree = grow(golden, config={"reward": "macro-f1"})
    (best,) = tree.best(1)
    record_model(
        tree.engine, labels=best.labels, seed=0, epochs=1, test_accuracy=0.5, test_image_count=9, search="first",
        weights_path="/models/best.safetensors", node_id=best.node_id,
    )  # fmt: skip
    page = " ".join(shown(written(tree)).split())
    assert "Best: accuracy 0.500 on the test images after 1 layer; macro F1 0.750 in the search" in page


def test_the_limits_of_the_search_are_shown(grow, golden, written):
    page = " ".join(shown(written(grow(golden, config={"max_params": 20, "target_flops": 999}))).split())
    assert "<code>--max-params 20</code> (the best prefix has 10, within it)" in page
    assert "<code>--target-flops 999</code> (the best prefix has 1k, above it)" in page
    assert "The search kept to" not in written(grow(golden, "free"))


def test_seconds_that_cannot_be_are_unknown_and_costs_of_another_type_refused(tree, written):
    """As older versions stored what evaluators and spaces of one's own returned."""
    with tree.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE episodes SET train_seconds = 1e999 WHERE number = 0")
        connection.exec_driver_sql("UPDATE episodes SET train_seconds = -1.0 WHERE number = 1")
    page = written(tree)
    assert "Best: 0.750" in page
    with tree.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE nodes SET params = x'0a00000000000000' WHERE id = 1")
    with pytest.raises(StorageError, match="where a whole number belongs"):
        written(tree)


def test_failures_are_listed_by_kind(tree, written):
    page = written(tree)
    assert "1 of 4 trainings failed" in page
    assert re.search(r"<td>diverged</td>.*loss is nan", page)


def test_a_folder_that_cannot_be_written(tree, tmp_path):
    (tmp_path / "taken").write_text("")
    with pytest.raises(ConfigError, match="--out"):
        write_report(tree, out=tmp_path / "taken")


def test_an_evaluator_given_in_python_gets_no_command_that_would_be_refused(grow, golden, training, written):
    own = grow(golden, "own", config={"dataset": None}, data_json=None)
    page = written(own)
    assert "replaytree retrain" not in page
    assert "The search’s accuracies are the evaluator’s own" in page
    empty = written(grow([], "none", config={"dataset": None}, data_json=None))
    for text in ("replaytree retrain", "replaytree resume", "validation accuracies"):
        assert text not in empty
    assert "has not trained anything yet" in empty
    assert "replaytree.Search.resume" in empty
    assert "“none”, named with" in written(own, against=ReplayTree.open(own.engine, "none"))


def test_one_of_a_thing_is_written_as_one(grow, training, written):
    page = written(grow([training((0,), 0.5, epochs=1)], "one"))
    for text in ("1 epochs", ">1 trainings", "1 episodes", "1 prefixes", "They do not correct for the choice"):
        assert text not in page
    # A single value: no axis from -0.5 on.
    assert '"range":[0.45,0.55]' in page


def test_what_is_said_of_limits_is_of_those_that_there_are(grow, golden, written):
    def note(**limits):
        page = shown(written(grow(golden, "-".join(limits), config=limits)))
        return "A maximum is never exceeded" in page, "Above a target" in page

    assert note(max_params=50) == (True, False)
    assert note(target_params=50) == (False, True)
    assert note(max_params=50, target_flops=5000) == (True, True)


def test_the_page_says_how_many_were_measured_and_how_many_are_ranked(tree, written, grow, golden, training):
    assert "5 prefixes measured, 3 of them with 8 epochs: only these are ranked" in shown(written(tree))
    supernet = grow(golden, "supernet", config={"weights": "shared"})
    page = shown(written(supernet))
    assert "5 prefixes measured, 3 of them with 8 turns: only these are ranked" in page
    assert "(of 5 in all; the others had fewer turns and are not compared)" in page
    # What the panel of a node counts its budget in.
    assert tree_columns(read_search(supernet))["unit"] == "turns"
    alike = shown(written(grow([training((0, 1), 0.5, 0.6)], "alike")))
    assert "2 prefixes measured</small>" in alike
