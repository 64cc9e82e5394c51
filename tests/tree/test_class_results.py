import pytest
from sqlalchemy import text

from replaytree.errors import StorageError
from replaytree.tree import (
    ClassResults,
    check,
    delete_search,
    export_search,
    import_search,
    list_class_results,
    list_models,
    open_engine,
    record_model,
    together,
)
from replaytree.tree.engine import reading, writing

# Of four cats three are found; both dogs are taken for cats; of two birds one is found and one taken for a cat.
RESULTS = ClassResults(
    "test", ("cat", "dog", "bird", "fish"), ((3, 0, 1, 0), (2, 0, 0, 0), (1, 0, 1, 0), (0, 0, 0, 0)), {(1, 0): b"png"}
)


def test_recall_precision_and_f1_by_hand():
    cat, dog, bird, fish = RESULTS.figures
    assert (cat.name, cat.images, cat.recall, cat.precision) == ("cat", 4, 0.75, 0.5)
    assert cat.f1 == pytest.approx(2 * 0.75 * 0.5 / 1.25)
    # Nothing was taken for a dog, so that there is nothing to take a share of.
    assert (dog.images, dog.recall, dog.precision, dog.f1) == (2, 0.0, None, 0.0)
    assert (bird.images, bird.recall, bird.precision, bird.f1) == (2, 0.5, 0.5, 0.5)
    assert (fish.images, fish.recall, fish.precision, fish.f1) == (0, None, None, None)
    assert RESULTS.images == 8
    # Of the three classes that there are.
    assert RESULTS.macro_f1 == pytest.approx((0.6 + 0.0 + 0.5) / 3)


def test_worst_classes_and_most_confused_pairs():
    assert [each.name for each in RESULTS.worst(2)] == ["dog", "bird"]
    assert [(e.actual, e.predicted, e.images, e.pictures) for e in RESULTS.confused(9)] == [
        ("dog", "cat", 2, b"png"),
        ("cat", "bird", 1, None),
        ("bird", "cat", 1, None),
    ]
    right = ClassResults("test", ("a", "b"), ((1, 0), (0, 2)))
    assert (right.worst(3), right.confused(3), right.macro_f1) == ([], [], 1.0)


def test_several_models_are_added_up():
    other = ClassResults("test", RESULTS.classes, ((4, 0, 0, 0), (1, 1, 0, 0), (0, 0, 2, 0), (0, 0, 0, 0)),
                         {(1, 0): b"other", (0, 2): b"second"})  # fmt: skip
    both = together([RESULTS, other])
    assert both.counts == ((7, 0, 1, 0), (3, 1, 0, 0), (1, 0, 3, 0), (0, 0, 0, 0))
    assert both.pictures == {(1, 0): b"png", (0, 2): b"second"}


def add(tree, **values):
    defaults = {
        "labels": ("conv",), "seed": 0, "epochs": 3, "test_accuracy": 0.5, "test_image_count": 8, "weights_path": "a",
        "class_results": RESULTS, "search": tree.name,
    }  # fmt: skip
    record_model(tree.engine, **(defaults | values))


def stored(engine):
    return {m.weights_path: list_class_results(engine, [m.model_id]).get(m.model_id) for m in list_models(engine)}


def test_round_trip_and_sql(tree):
    add(tree)
    add(tree, weights_path="text", class_results=None)
    assert stored(tree.engine) == {"a": RESULTS, "text": None}
    with reading(tree.engine) as connection:
        recall = connection.execute(text(
            "SELECT actual, SUM(CASE WHEN actual = predicted THEN image_count ELSE 0 END) * 1.0 / SUM(image_count) "
            "FROM class_results GROUP BY actual HAVING SUM(image_count) > 0 ORDER BY actual"
        )).all()  # fmt: skip
    assert [(name, float(share)) for name, share in recall] == [("bird", 0.5), ("cat", 0.75), ("dog", 0.0)]
    assert check(tree.engine) == []


def test_a_model_that_is_stored_again_replaces_them(tree):
    add(tree)
    right = ClassResults("test", ("cat", "dog"), ((4, 0), (0, 4)))
    add(tree, class_results=right)
    assert stored(tree.engine) == {"a": right}
    with reading(tree.engine) as connection:
        # A class and itself, also where nothing was taken for it; else only pairs that occurred.
        assert connection.scalar(text("SELECT COUNT(*) FROM class_results")) == 2


def test_they_outlive_their_search_as_models_do(tree):
    add(tree)
    delete_search(tree.engine, tree.name)
    assert stored(tree.engine) == {"a": RESULTS}
    assert check(tree.engine) == []


def test_they_are_carried_with_their_search(tree, golden, tmp_path):
    tree.record(golden, state=b"state")
    add(tree, weights_path="before", search=None)
    add(tree)
    export_search(tree.engine, tree.name, tmp_path / "search.gz")
    fresh = open_engine("sqlite://")
    import_search(fresh, tmp_path / "search.gz")
    assert stored(fresh) == {"a": RESULTS}
    assert check(fresh) == []


@pytest.mark.parametrize(("statement", "what"), [
    ("UPDATE class_results SET image_count = 7 WHERE actual = 'cat' AND predicted = 'cat'", "images of class results"),
    ("UPDATE class_results SET search_id = NULL", "model of class results"),
    ("UPDATE class_results SET actual = 'cow' WHERE actual = 'dog' AND predicted = 'cat'", "class of class results"),
    ("UPDATE class_results SET predicted = 'cow' WHERE actual = 'dog' AND predicted = 'cat'", "class of class results"),
])  # fmt: skip
def test_check_finds_what_contradicts_its_model(tree, statement, what):
    add(tree)
    with writing(tree.engine) as connection:
        connection.execute(text(statement))
    found = check(tree.engine)
    assert [problem.invariant for problem in found] == [what]


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE class_results SET predicted = 'cow' WHERE actual = 'dog' AND predicted = 'cat'",
        "UPDATE class_results SET actual = 'cow' WHERE actual = 'dog' AND predicted = 'cat'",
    ],
)
def test_answers_of_a_class_that_a_model_does_not_have_are_refused(tree, statement):
    add(tree)
    with writing(tree.engine) as connection:
        connection.execute(text(statement))
    with pytest.raises(StorageError, match=r"class 'cow' for model 1, which has no such class; `replaytree db check`"):
        stored(tree.engine)
