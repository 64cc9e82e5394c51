"""ReplayTreeClassifier: a search and its best model as a scikit-learn estimator.

Shapes: N images, H rows, W columns, C channels, P = H * W values, K classes.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_array, check_is_fitted, column_or_1d

from replaytree.data import channels_last, from_arrays
from replaytree.deliver import Model
from replaytree.errors import EvaluationError
from replaytree.search.search import Search


class ReplayTreeClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Searches a network for images in memory, retrains the best one, and predicts with it.

    Images are (N, H, W), (N, H, W, C) or (N, C, H, W) with C 1 or 3, or flat, (N, P), as scikit-learn's data sets are;
    flat images are square if P is a square number, else one row. `fit` takes uint8 as it is; it scales other numbers
    so that its smallest and largest value become 0 and 255. The same scale, `range_`, is used for every prediction,
    whatever its type. Nothing is stored: the search's tree is in memory.

    Parameters: `max_layers` and `trainings` of the search, `epochs` of each of its trainings, `final_epochs` of the
    retraining, `width` of the layers, `val_fraction` for validation, `device`, and `random_state`: a whole number
    (None: 0), or a RandomState that draws one.
    """

    def __init__(
        self,
        *,
        max_layers: int = 4,
        trainings: int = 20,
        epochs: int = 4,
        final_epochs: int = 15,
        width: float = 0.25,
        val_fraction: float = 0.2,
        device: str = "auto",
        random_state: int | np.random.RandomState | None = 0,
    ) -> None:
        self.max_layers = max_layers
        self.trainings = trainings
        self.epochs = epochs
        self.final_epochs = final_epochs
        self.width = width
        self.val_fraction = val_fraction
        self.device = device
        self.random_state = random_state

    def fit(self, X: Any, y: Any) -> ReplayTreeClassifier:
        """Search, then retrain the best prefix on all images. Each class needs at least two images."""
        X = self._numbers(X)
        y = column_or_1d(y, warn=True)
        check_classification_targets(y)
        if len(y) != len(X):
            raise ValueError(f"X has {len(X)} images and y {len(y)} labels; give one label for each image")
        self.classes_, labels_N = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(
                f"this classifier needs samples of at least 2 classes, and y has 1 class, {self.classes_[0]!r}"
            )
        self.n_features_in_ = math.prod(X.shape[1:])
        self.image_shape_ = X.shape[1:]
        self.range_ = (0.0, 255.0) if X.dtype == np.uint8 else (float(X.min()), float(X.max()))
        seed = _seed(self.random_state)
        data = from_arrays(
            self._images(X), labels_N.astype(np.int64), classes=[str(name) for name in self.classes_],
            channel_axis="last", val_fraction=self.val_fraction, seed=seed,
        )  # fmt: skip
        search = Search(
            data=data, storage="sqlite://", name="classifier", seed=seed, max_layers=self.max_layers,
            epochs_first=self.epochs, epochs_last=self.epochs, width=self.width, device=self.device,
        )  # fmt: skip
        search.run(trainings=self.trainings)
        if not search.tree.best(1):
            why = next((episode.failure_text for episode in search.tree.episodes() if episode.failure), "")
            raise EvaluationError(f"every training failed ({why}); give more trainings, or a smaller width")
        model = search.best_model(epochs=self.final_epochs, seed=seed, folder=None)
        assert isinstance(model, Model), "the search was of images"
        self.model_ = model
        self.labels_ = search.tree.best(1)[0].labels
        return self

    def predict_proba(self, X: Any) -> np.ndarray:
        """The probability of each class, float (N, K), columns as in `classes_`."""
        check_is_fitted(self)
        X = self._numbers(X)
        if X.shape[1:] != self.image_shape_:
            raise ValueError(
                f"X has {math.prod(X.shape[1:])} features, but {type(self).__name__} is expecting "
                f"{self.n_features_in_} features as input: {X.shape[1:]} an image, and fit had {self.image_shape_}"
            )
        return self.model_.predict_proba(self._images(X)).astype(np.float64)

    def predict(self, X: Any) -> np.ndarray:
        """The most probable class of each image."""
        check_is_fitted(self)
        predicted: np.ndarray = self.classes_[self.predict_proba(X).argmax(axis=1)]
        return predicted

    def _numbers(self, X: Any) -> np.ndarray:
        images: np.ndarray = check_array(X, allow_nd=True, dtype="numeric", ensure_all_finite=True)
        if images.ndim > 4:
            raise ValueError(f"X has {images.ndim} dimensions; images are (N, P), (N, H, W) or (N, H, W, C)")
        return images

    def _images(self, X: np.ndarray) -> np.ndarray:
        """uint8 (N, H, W, C), on the scale of `fit`; values slightly outside it are clipped."""
        low, high = self.range_
        least, most = (float(X.min()), float(X.max())) if X.size else (low, high)
        slack = max(high - low, 1.0)
        # Fractions, though fit had bytes: they are within the range, but would all come out black.
        fractions = high - low > 50 and most <= 1.0 and bool((X % 1).any())
        if least < low - slack or most > high + slack or fractions:
            raise ValueError(
                f"X has values from {least:g} to {most:g}, and fit had {low:g} to {high:g}; scale both alike"
            )
        scaled = (X.astype(np.float64) - low) * (255.0 / (high - low) if high > low else 0.0)
        X = np.rint(np.clip(scaled, 0.0, 255.0)).astype(np.uint8)
        if X.ndim == 2:
            side = math.isqrt(X.shape[1])
            X = X.reshape(len(X), side, side) if side * side == X.shape[1] else X[:, None, :]
        return channels_last(X)

    def __sklearn_tags__(self) -> Any:
        """Accept images of three and four dimensions as well as flat ones."""
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        tags.classifier_tags.poor_score = True
        return tags


def _seed(random_state: int | np.random.RandomState | None) -> int:
    """A whole number from scikit-learn's random state; for anything else, scikit-learn's own ValueError."""
    if random_state is None:
        return 0
    generator = check_random_state(random_state)
    return int(random_state if isinstance(random_state, int | np.integer) else generator.randint(2**31 - 1))
