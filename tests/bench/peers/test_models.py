import numpy as np
import pytest

from replaytree.bench.peers.encoding import Encoding
from replaytree.bench.peers.forest import Forest
from replaytree.bench.peers.gaussian_process import GaussianProcess, PathKernel
from replaytree.bench.peers.model_based import expected_improvement
from replaytree.bench.synthetic import synthetic_table
from replaytree.space import LabelSpace

CHAINS = LabelSpace(["a", "b"], max_layers=3)


def test_the_encoding_by_hand():
    onehot, counts = Encoding(CHAINS).of([(0, 1, 1), (1,)])
    # a b | a b | a b
    assert onehot.tolist() == [[1, 0, 0, 1, 0, 1], [0, 1, 0, 0, 0, 0]]
    np.testing.assert_allclose(counts, [[1 / 3, 2 / 3], [0, 1 / 3]], rtol=1e-6)


def test_runs_are_pairs_of_layers_that_follow_each_other():
    runs = Encoding(CHAINS).runs_of([(0, 1, 1), (0, 0, 0)])
    # aa ab ba bb
    assert runs[:, 6:].tolist() == [[0, 1, 0, 1], [1, 0, 0, 0]]


def test_several_decisions_are_encoded_each():
    onehot, _ = Encoding(synthetic_table("synthetic:decisions").space()).of([(0, 8, 4, 0)])
    assert onehot[0, :12].tolist() == [1, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 1]


def test_the_kernel_by_hand():
    """Of three decisions one is equal; counts of a and b differ by a third each."""
    X = Encoding(CHAINS).all_of([(0, 0, 0), (0, 0, 1), (1, 1, 1)])
    kernel = PathKernel(6, additive=2.0, alike=3.0, counts=5.0)
    gram = kernel(X)
    assert gram[0, 0] == pytest.approx(10.0)
    assert gram[1, 0] == pytest.approx(2 * 2 / 3 + 3 * np.exp(-4 / 3) + 5 * np.exp(-8 * 2 / 9))
    assert gram[2, 0] == pytest.approx(3 * np.exp(-4) + 5 * np.exp(-8 * 2))
    np.testing.assert_allclose(kernel.diag(X), np.diag(gram))
    np.testing.assert_allclose(kernel(X, X[:1]), gram[:, :1])


def test_the_gradient_of_the_kernel_is_that_of_its_values():
    X = Encoding(CHAINS).all_of([(0, 0, 0), (0, 0, 1), (1, 1, 1)])
    kernel = PathKernel(6, additive=2.0, alike=3.0, counts=5.0)
    gram, gradient = kernel(X, eval_gradient=True)
    for k in range(3):
        theta = kernel.theta.copy()
        theta[k] += 1e-6
        np.testing.assert_allclose(
            (kernel.clone_with_theta(theta)(X) - gram) / 1e-6, gradient[:, :, k], rtol=1e-4, atol=1e-6
        )


def test_expected_improvement_by_hand():
    """(m - b) Phi(z) + s phi(z): phi(0) = 0.3989; without deviation the gain itself, or 0."""
    found = expected_improvement(np.array([1.0, 1.0, 3.0, 0.0]), np.array([1.0, 2.0, 0.0, 0.0]), 1.0)
    np.testing.assert_allclose(found, [0.398942, 0.797885, 2.0, 0.0], atol=1e-6)


@pytest.mark.parametrize("make", [GaussianProcess, lambda space: Forest(space, seed=0)])
def test_a_model_predicts_unseen_paths_of_an_additive_table(make):
    table = synthetic_table("synthetic:additive")
    generator = np.random.default_rng(0)
    paths = [path for path in table.accuracies if len(path) == 5]
    chosen = [paths[n] for n in generator.permutation(len(paths))[:260]]
    targets = -np.log([1 - table.true_accuracy(path) for path in chosen])
    targets = (targets - targets.mean()) / targets.std()
    model = make(table.space())
    model.fit(chosen[:60], targets[:60])
    mean, deviation = model.predict(chosen[60:])
    assert np.corrcoef(mean, targets[60:])[0, 1] > 0.6
    assert model.predict(chosen[:60])[1].mean() < deviation.mean()
