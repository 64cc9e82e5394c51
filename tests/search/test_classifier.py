import pickle

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.utils.estimator_checks import check_estimator

from replaytree import ReplayTreeClassifier
from replaytree.search.classifier import _seed

# Skipped by scikit-learn itself: check_array_api_input, which wants SCIPY_ARRAY_API=1. Checks of what is not a
# classifier's (sparse input, several outputs, sample weights) do not apply. None is expected to fail. The tag
# `poor_score` spares the checks that want a high accuracy after a training of seconds.


@pytest.fixture(scope="module")
def digits():
    found = load_digits()
    return found.images, found.target


@pytest.fixture(scope="module")
def fitted(digits):
    images, target = digits
    names = np.array(["zero", "one", "two", "three"])
    few = target < 4
    model = ReplayTreeClassifier(trainings=3, max_layers=2, epochs=2, final_epochs=12)
    return model.fit(images[few][:400], names[target[few]][:400])


def test_it_learns_and_names_classes(fitted, digits):
    images, target = digits
    few = target < 4
    names = np.array(["zero", "one", "two", "three"])[target[few]]
    assert fitted.score(images[few][400:], names[400:]) > 0.8
    assert fitted.classes_.tolist() == ["one", "three", "two", "zero"]
    probabilities = fitted.predict_proba(images[:5])
    assert probabilities.shape == (5, 4)
    assert probabilities.sum(axis=1) == pytest.approx(np.ones(5))
    assert len(fitted.labels_) in (1, 2)


def test_flat_images_are_square(digits):
    images, target = digits
    model = ReplayTreeClassifier(trainings=1, max_layers=1, epochs=1, final_epochs=1)
    square = clone(model).fit(images[:150], target[:150]).predict_proba(images[:9])
    flat = clone(model).fit(images[:150].reshape(150, 64), target[:150]).predict_proba(images[:9].reshape(9, 64))
    assert np.array_equal(square, flat)


def test_the_scale_of_fit_is_the_scale_of_predict(fitted, digits):
    """Fitted on the floats 0 to 16; the same values as integers are the same images."""
    images = digits[0][400:420]
    expected = fitted.predict_proba(images)
    for kind in (np.uint8, np.int64, np.float32):
        assert np.array_equal(fitted.predict_proba(images.astype(kind)), expected)
    with pytest.raises(ValueError, match="X has values from 0 to 255, and fit had 0 to 16; scale both alike"):
        fitted.predict(images * (255 / 16))
    few = ReplayTreeClassifier(trainings=1, max_layers=1, epochs=1, final_epochs=1)
    few.fit((digits[0][:150] * 15).astype(np.uint8), digits[1][:150])
    with pytest.raises(ValueError, match="X has values from 0 to 1, and fit had 0 to 255"):
        few.predict(images / 16)


def test_a_fitted_one_can_be_pickled(fitted, digits):
    again = pickle.loads(pickle.dumps(fitted))
    assert np.array_equal(again.predict_proba(digits[0][:5]), fitted.predict_proba(digits[0][:5]))


def test_images_of_another_shape(fitted):
    with pytest.raises(ValueError, match="X has 81 features, but ReplayTreeClassifier is expecting 64"):
        fitted.predict(np.zeros((2, 9, 9)))
    with pytest.raises(ValueError, match="5 dimensions"):
        fitted.predict(np.zeros((2, 1, 1, 1, 1)))


@pytest.mark.filterwarnings("ignore")
def test_scikit_learns_own_checks():
    model = ReplayTreeClassifier(trainings=1, max_layers=1, epochs=1, final_epochs=1)
    results = check_estimator(model, on_fail=None, on_skip=None)
    assert [(r["check_name"], r["exception"]) for r in results if r["status"] == "failed"] == []
    assert {r["check_name"] for r in results if r["status"] == "skipped"} <= {"check_array_api_input"}
    assert len(results) > 40


def test_channels_first_are_channels_last(digits):
    """As torch has them: fitted on one form, the other is predicted alike."""
    images = np.repeat(digits[0][:120, :, :, None], 3, axis=3)
    first = images.transpose(0, 3, 1, 2)
    model = ReplayTreeClassifier(trainings=1, max_layers=1, epochs=1, final_epochs=1, random_state=3)
    expected = clone(model).fit(images, digits[1][:120]).predict_proba(images[:9])
    assert np.array_equal(clone(model).fit(first, digits[1][:120]).predict_proba(first[:9]), expected)


def test_random_states():
    assert [_seed(state) for state in (None, 0, 7, np.int64(9))] == [0, 0, 7, 9]
    assert _seed(np.random.RandomState(1)) == _seed(np.random.RandomState(1)) != _seed(np.random.RandomState(2))
    for state in (-1, "a", 1.5):
        with pytest.raises(ValueError, match=r"Seed must be between|cannot be used to seed"):
            _seed(state)
