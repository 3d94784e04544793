"""Accuracy, mistakes and calibration, against scikit-learn and by hand."""

import numpy as np
import pytest
from sklearn import metrics

from digitkit.scoring import accuracy_by_digit, calibration, confusion, worst_mistakes


@pytest.fixture(scope="module")
def read():
    """Return 500 true digits and probabilities that are right more often than not."""
    rng = np.random.default_rng(0)
    y_true = rng.integers(0, 10, 500)
    probabilities = rng.random((500, 10))
    probabilities[np.arange(500), y_true] += rng.random(500)
    return y_true, probabilities / probabilities.sum(axis=1, keepdims=True)


def test_accuracy_by_digit_is_scikit_learns_recall(read):
    y_true, probabilities = read
    predicted = probabilities.argmax(axis=1)
    accuracy = accuracy_by_digit(y_true, predicted)
    expected = metrics.recall_score(y_true, predicted, average=None)
    np.testing.assert_allclose(accuracy, expected)
    counts = np.bincount(y_true)
    overall = metrics.accuracy_score(y_true, predicted)
    assert (accuracy * counts).sum() / 500 == pytest.approx(overall)


def test_accuracy_by_digit_by_hand():
    accuracy = accuracy_by_digit([0, 0, 0, 9, 9], [0, 0, 9, 9, 9])
    np.testing.assert_allclose(accuracy, [2 / 3, *[np.nan] * 8, 1])


def test_types_of_labels_do_not_matter():
    y_true = np.array([3, 3, 5], np.uint8)  # as MNIST's are
    accuracy = accuracy_by_digit(y_true, np.array([3, 5, 5], np.int64))
    np.testing.assert_allclose(accuracy[[3, 5]], [0.5, 1])


def test_confusion_is_scikit_learns_for_all_ten(read):
    y_true, probabilities = read
    predicted = probabilities.argmax(axis=1)
    counts = confusion(y_true, predicted)
    np.testing.assert_array_equal(counts, metrics.confusion_matrix(y_true, predicted))
    assert counts.trace() / 500 == metrics.accuracy_score(y_true, predicted)


def test_confusion_has_the_true_digit_on_rows():
    counts = confusion([4, 4, 4], [9, 9, 4])
    assert counts.shape == (10, 10)
    assert np.argwhere(counts).tolist() == [[4, 4], [4, 9]]
    assert counts[4, 9] == 2


def test_worst_mistakes_are_the_surest_wrong_ones(read):
    y_true, probabilities = read
    worst = worst_mistakes(y_true, probabilities, n=20)
    predicted, sure = probabilities.argmax(axis=1), probabilities.max(axis=1)
    assert len(worst) == len(set(worst.tolist())) == 20
    assert (predicted[worst] != y_true[worst]).all()
    assert (np.diff(sure[worst]) <= 0).all()
    others = np.setdiff1d(np.flatnonzero(predicted != y_true), worst)
    assert sure[others].max() <= sure[worst].min()


def test_worst_mistakes_by_hand():
    probabilities = np.zeros((4, 10))
    probabilities[:, 0] = [0.9, 0.6, 0.7, 0.8]
    probabilities[:, 1] = [0.1, 0.4, 0.3, 0.2]
    y_true = [0, 1, 1, 1]
    assert worst_mistakes(y_true, probabilities).tolist() == [3, 2, 1]
    assert worst_mistakes(y_true, probabilities, n=2).tolist() == [3, 2]
    assert worst_mistakes([0, 0, 0, 0], probabilities).tolist() == []


def test_calibration_by_hand():
    probabilities = np.zeros((6, 10))
    probabilities[:, 5] = [0.6, 0.6, 0.6, 0.9, 0.9, 0.9]
    confidence, accuracy = calibration([5, 0, 0, 5, 5, 0], probabilities, bins=2)
    np.testing.assert_allclose(confidence, [0.6, 0.9])
    np.testing.assert_allclose(accuracy, [1 / 3, 2 / 3])


def test_calibration_has_bins_of_equal_count(read):
    y_true, probabilities = read
    confidence, accuracy = calibration(y_true, probabilities, bins=5)
    order = np.argsort(probabilities.max(axis=1))
    bins = np.split(order, 5)
    right = probabilities.argmax(axis=1) == y_true
    expected = [probabilities[one].max(axis=1).mean() for one in bins]
    np.testing.assert_allclose(confidence, expected, atol=1e-3)
    np.testing.assert_allclose(accuracy, [right[one].mean() for one in bins], atol=0.02)


@pytest.mark.parametrize(
    "score", [accuracy_by_digit, confusion, worst_mistakes, calibration]
)
@pytest.mark.parametrize("shapes", [((3,), (4, 10)), ((3, 1), (3, 10))])
def test_what_does_not_fit_is_refused(score, shapes):
    y_true, other = (np.zeros(shape, int) for shape in shapes)
    with pytest.raises(ValueError) as refused:
        score(y_true, other)
    assert str(shapes[0]) in str(refused.value)
    assert str(shapes[1]) in str(refused.value)
