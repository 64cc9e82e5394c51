"""Whether the answer beats hand-made networks: worked by hand, in every case that there is."""

import math
import re

import pytest

from replaytree.report.baselines import network_rows, standing, verdict
from replaytree.report.compare_page import comparison_html
from replaytree.report.difference import over_models
from replaytree.report.page import report_html
from replaytree.report.reading import read_search
from replaytree.tree import MeanAccuracy, record_model

HALF = 2.776445  # Student's t of 4 degrees of freedom


@pytest.fixture
def model(tree):
    """Store a model of every seed, of the best node or a baseline."""

    def store(*accuracies, baseline=None, params=100, flops=1000, images=100, node_id=None, training=None, of="test"):
        name = baseline or "answer"
        best = tree.best(1)[0]
        for seed, accuracy in enumerate(accuracies):
            record_model(
                tree.engine,
                labels=(name,) if baseline else best.labels,
                seed=seed,
                epochs=8,
                test_accuracy=accuracy if of == "test" else None,
                test_image_count=images if of == "test" else None,
                validation_accuracy=accuracy if of != "test" else None,
                validation_image_count=images if of != "test" else None,
                weights_path=f"{name}{params}{seed}{training}",
                search=tree.name,
                node_id=None if baseline else best.node_id,
                baseline=baseline,
                params=params,
                flops=flops,
                training={"epochs": 8} if training is None else training,
            )

    return store


def said(tree):
    found = verdict(read_search(tree))
    return None if found is None else found.text


def test_the_difference_of_several_seeds_by_hand():
    # Deviations 0.1 of three seeds each, and images as if they were others: 0.8 x 0.2 and 0.5 x 0.5 of 100.
    first, second = MeanAccuracy((0.9, 0.8, 0.7), 100), MeanAccuracy((0.6, 0.5, 0.4), 100)
    half = math.hypot(HALF * math.sqrt(0.02 / 3), 1.959964 * math.sqrt(0.41 / 100))
    assert over_models(first, second).interval == pytest.approx((0.3 - half, 0.3 + half), abs=1e-6)
    assert over_models(first, MeanAccuracy((0.6, 0.5, 0.4), None)).interval[0] == pytest.approx(
        0.3 - math.hypot(HALF * math.sqrt(0.02 / 3), 1.959964 * 0.04), abs=1e-6
    )


def test_the_difference_of_one_seed_is_newcombes():
    found = over_models(MeanAccuracy((56 / 70,), 70), MeanAccuracy((48 / 80,), 80))
    assert found.interval == pytest.approx((0.0524, 0.3339), abs=5e-5)
    assert over_models(MeanAccuracy((0.8,), None), MeanAccuracy((0.6,), 80)).interval is None


def test_nothing_was_trained(tree):
    found = verdict(read_search(tree))
    assert found.text == "Whether the search beats a hand-made network is not known: no baseline was trained."
    assert [command.split()[1:3] for command in found.commands] == [["retrain", "first"], ["baseline", "first"]]


def test_only_the_answer_was_trained(tree, model):
    model(0.9)
    assert [command.split()[1] for command in verdict(read_search(tree)).commands] == ["baseline"]


def test_only_baselines_were_trained(tree, model):
    model(0.9, 0.8, baseline="resnet8")
    found = verdict(read_search(tree))
    assert found.text == "Whether the search beats its baselines is not known: its answer was not retrained."
    assert "retrain first --epochs 8 --seeds 2 " in found.commands[0]


def test_the_answer_beats_the_best_of_its_size(tree, model):
    model(0.95, 0.94, 0.96, images=10_000)
    model(0.90, 0.91, 0.92, baseline="resnet8", images=10_000)
    model(0.5, 0.5, 0.5, baseline="linear", images=10_000)
    model(0.99, 0.99, 0.99, baseline="larger", params=101, images=10_000)
    model(0.99, 0.99, 0.99, baseline="slower", flops=1001, images=10_000)
    model(0.99, 0.99, 0.99, baseline="longer", training={"epochs": 9}, images=10_000)
    seeds, images = HALF * math.sqrt(0.0002 / 3), 1.959964 * math.sqrt((0.95 * 0.05 + 0.91 * 0.09) / 10_000)
    low, high = (100 * (0.04 + sign * math.hypot(seeds, images)) for sign in (-1, 1))
    assert said(tree) == (
        f"Retrained, the search’s answer beats the best baseline of at most its size, resnet8 (0.9100): +4.0 points, "
        f"95 % interval {low:+.1f} to {high:+.1f}, on 10,000 test images (3 seeds)."
    )
    assert [row.note for row in network_rows(read_search(tree))] == [
        "", "", "", "larger in parameters", "larger in FLOPs", "trained in another way, or on other images",
    ]  # fmt: skip


def test_the_search_lost(tree, model):
    model(0.80, 0.81, 0.82, images=10_000)
    model(0.90, 0.91, 0.92, baseline="resnet8", images=10_000, training={"epochs": 8, "learning_rate": 0.01})
    assert said(tree).startswith(
        "The search lost: retrained, its answer is behind the best baseline of at most its size, resnet8 (0.9100): "
        "−10.0 points, 95 % interval −1"
    )


def test_an_interval_with_0_tells_nothing_and_validation_images_are_optimistic(tree, model):
    model(0.81, of="validation")
    model(0.80, baseline="resnet8", of="validation")
    assert said(tree).startswith("Retrained, the search’s answer cannot be told from the best baseline of at most its")
    assert said(tree).endswith(
        "on 100 validation images (1 seed, and others may differ more). The search chose by these images, so its "
        "figure is optimistic."
    )


def test_none_can_be_compared(tree, model):
    model(0.9)
    model(0.9, baseline="resnet8", params=101)
    found = verdict(read_search(tree))
    assert found.text == (
        "The retrained answer has no baseline of at most its size to be compared with (resnet8: larger in parameters)."
    )
    assert len(found.commands) == 1


def test_an_answer_of_an_older_version_does_not_say_how_it_was_trained(tree, model):
    model(0.9, training={})
    with tree.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE models SET training_json = NULL")
    model(0.9, baseline="resnet8")
    assert "an older version retrained the answer, and did not store how; retrain it again" in said(tree)


def test_within_the_limits_of_a_search_its_answer_may_be_smaller(grow, golden):
    tree = grow(golden, config={"max_params": 200})
    best = tree.best(1)[0]
    known = {"seed": 0, "epochs": 8, "test_image_count": 100, "search": tree.name, "training": {"epochs": 8}}
    record_model(
        tree.engine, labels=best.labels, test_accuracy=0.5, weights_path="a", node_id=best.node_id, params=100,
        flops=1000, **known,
    )  # fmt: skip
    record_model(
        tree.engine, labels=("b",), test_accuracy=0.9, weights_path="b", baseline="b", params=200, flops=9000, **known
    )
    found = standing(read_search(tree))
    assert (found.best.last.baseline, found.size) == ("b", "within the search’s limits")
    assert said(tree).startswith("The search lost: retrained, its answer is behind the best baseline within")


def test_an_answer_that_was_retrained_wider_is_compared_with_networks_of_its_size(grow, golden):
    tree = grow(golden, config={"max_params": 200})
    best = tree.best(1)[0]
    known = {
        "seed": 0,
        "epochs": 8,
        "test_image_count": 100,
        "search": tree.name,
        "training": {"epochs": 8},
        "flops": 1,
    }
    record_model(
        tree.engine, labels=best.labels, test_accuracy=0.5, weights_path="a", node_id=best.node_id, params=400, **known
    )
    for name, params in (("b", 400), ("c", 401)):
        record_model(
            tree.engine, labels=(name,), test_accuracy=0.9, weights_path=name, baseline=name, params=params, **known
        )
    found = standing(read_search(tree))
    assert (dict(found.bounds), found.best.last.baseline) == ({"params": 400}, "b")
    assert "the best baseline of at most its size or the search’s limits, b (0.9000)" in said(tree)
    assert {row.label: row.note for row in network_rows(read_search(tree)) if not row.is_answer} == {
        "b": "", "c": "larger in parameters",
    }  # fmt: skip


def test_a_node_that_is_not_the_best_is_the_answer_only_where_the_best_was_not_retrained(tree, model):
    other = tree.best(2)[1]
    record_model(
        tree.engine, labels=other.labels, seed=0, epochs=8, test_accuracy=0.1, weights_path="o", search=tree.name,
        node_id=other.node_id,
    )  # fmt: skip
    assert standing(read_search(tree)).answer.last.node_id == other.node_id
    model(0.9)
    record_model(
        tree.engine, labels=other.labels, seed=1, epochs=8, test_accuracy=0.1, weights_path="p", search=tree.name,
        node_id=other.node_id,
    )  # fmt: skip
    assert standing(read_search(tree)).answer.last.node_id == tree.best(1)[0].node_id


def test_the_page_says_it_first_and_has_the_table(tree, model):
    model(0.95, 0.94)
    model(0.90, 0.91, baseline="<resnet8>")
    page = report_html(read_search(tree))
    first = re.search(r'id="answer-title">.*?</h1>\s*<p>(.*?)</p>', page, re.S)[1]
    assert "&lt;resnet8&gt;" in first
    assert "<resnet8>" not in page
    table = page[page.index('id="baselines"') :]
    assert re.findall(r'<span class="mono">(.*?)</span>', table[: table.index("</table>")]) == [
        " ".join(tree.best(1)[0].labels), "&lt;resnet8&gt;",
    ]  # fmt: skip


def test_own_data_and_text_have_no_command(grow, golden):
    tree = grow(golden, name="own", config={"dataset": None})
    assert verdict(read_search(tree)) is None


def test_a_comparison_has_retrained_answers_without_baselines_too(tree, model, grow, golden):
    other = grow(golden, name="second")
    record_model(
        tree.engine, labels=("lone",), seed=0, epochs=8, test_accuracy=0.7, weights_path="lone", search="second",
        node_id=other.best(1)[0].node_id,
    )  # fmt: skip
    model(0.95)
    both = [read_search(tree), read_search(other)]
    assert 'id="baselines"' not in comparison_html(both)
    model(0.90, baseline="resnet8")
    page = comparison_html([read_search(tree), read_search(other)])
    table = page[page.index('id="baselines"') :].split("</table>")[0]
    assert re.findall(r"<tr><td>(\w+)</td>", table) == ["first", "first", "second"]


def test_larger_ones_are_shown_but_do_not_count(tree, model):
    model(0.9)
    model(0.99, baseline="large", params=101)
    [_, row] = network_rows(read_search(tree))
    assert (row.note, round(row.ahead.value, 9)) == ("larger in parameters", -0.09)


def test_a_comparison_has_the_networks_of_every_search(tree, model, grow, golden):
    model(0.95)
    model(0.90, baseline="resnet8")
    other = grow(golden, name="second")
    assert 'id="baselines"' not in comparison_html([read_search(other), read_search(grow(golden, name="third"))])
    page = comparison_html([read_search(tree), read_search(other)])
    table = page[page.index('id="baselines"') :].split("</table>")[0]
    assert re.findall(r"<tr><td>(\w+)</td>", table) == ["first", "first"]
    assert "+5.0 points, 95 % interval" in table


def test_limits_on_memory_count(grow, golden):
    tree = grow(golden, config={"max_ram": 64, "max_flash": 150})
    best = tree.best(1)[0]
    known = {"seed": 0, "epochs": 8, "test_accuracy": 0.5, "search": tree.name, "training": {}, "flops": 10}
    record_model(tree.engine, labels=best.labels, weights_path="a", node_id=best.node_id, params=100, **known)
    # With biases there are more bytes of flash than parameters.
    for name, flash, ram in (
        ("small", 150, 64),
        ("wide", 150, 65),
        ("large", 151, 64),
        ("unknown", 1, None),
        ("old", None, 1),
    ):
        training = {} if flash is None else {"flash_bytes": flash}
        record_model(
            tree.engine, labels=(name,), weights_path=name, baseline=name, params=1, ram_bytes=ram,
            **known | {"training": training},
        )  # fmt: skip
    assert {row.label: row.note for row in network_rows(read_search(tree)) if not row.is_answer} == {
        "small": "", "wide": "larger in bytes of RAM", "large": "larger in bytes of flash",
        "unknown": "of unknown bytes of RAM", "old": "of unknown bytes of flash",
    }  # fmt: skip


def test_seeds_of_before_and_after_flash_was_stored_are_one_retraining(tree, model):
    model(0.9, training={"epochs": 8})
    model(0.8, training={"epochs": 8, "flash_bytes": 5})
    # Both are of seed 0, and the later one counts.
    assert standing(read_search(tree)).answer.measured.values == (0.8,)


@pytest.mark.parametrize(
    ("limits", "size"), [({"max_params": 200}, "within the search’s other limits"), ({}, "of at most its size")]
)
def test_a_limit_on_latency_is_said_not_to_be_compared(grow, golden, limits, size):
    tree = grow(golden, config={**limits, "max_latency": 2.0, "latency_table": "lat.csv"})
    known = {"seed": 0, "epochs": 8, "test_image_count": 100, "search": tree.name, "training": {}, "params": 100}
    best = tree.best(1)[0]
    for label, node in (("answer", best.node_id), ("b", None)):
        record_model(
            tree.engine, labels=(label,), test_accuracy=0.5, weights_path=label, node_id=node, flops=1000,
            baseline=None if node else label, **known,
        )  # fmt: skip
    assert f"the best baseline {size}, b (0.5000)" in said(tree)
    assert said(tree).endswith(" Latency, which the search has a limit on, was not compared.")


@pytest.mark.parametrize(
    ("names", "text"),
    [
        ([None], 'by <a href="#retrained">the retraining</a> alone'),
        (["resnet8"], 'by <a href="#baselines">the baselines</a> alone'),
        (
            [None, "resnet8"],
            'by <a href="#retrained">the retraining</a> and <a href="#baselines">the baselines</a> alone',
        ),
    ],
)
def test_the_page_says_who_looked_at_the_test_images(tree, model, names, text):
    for name in names:
        model(0.5, baseline=name)
    assert f"were looked at after the search, {text}." in report_html(read_search(tree))
    assert 'id="baselines"' in report_html(read_search(tree)) or names == [None]
