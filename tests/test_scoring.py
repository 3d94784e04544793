"""Accuracy, mistakes and calibration, against scikit-learn and by hand."""

import numpy as np
import pytest
from sklearn import metrics

from digitkit.scoring import accuracy_by_digit, calibration, confusion, worst_mistakes


def test_accuracy_by_digit_is_scikit_learns_recall():
    rng = np.random.default_rng(0)
    y_true = rng.integers(0, 9, 500, np.uint8)  # as MNIST's are, but for the nines
    predicted = np.where(rng.random(500) < 0.7, y_true, rng.integers(0, 9, 500))
    expected = metrics.recall_score(y_true, predicted, average=None)
    accuracy = accuracy_by_digit(y_true, predicted)
    np.testing.assert_allclose(accuracy, [*expected, np.nan])


def test_confusion_has_the_true_digit_on_rows():
    expected = np.zeros((10, 10))
    expected[4, 9], expected[4, 4] = 2, 1
    np.testing.assert_array_equal(confusion([4, 4, 4], [9, 9, 4]), expected)


def test_worst_mistakes_are_the_surest_wrong_ones():
    probabilities = np.zeros((4, 10))
    probabilities[:, 0] = [0.9, 0.6, 0.7, 0.8]
    probabilities[:, 1] = [0.1, 0.4, 0.3, 0.2]
    y_true = [0, 1, 1, 1]
    assert worst_mistakes(y_true, probabilities).tolist() == [3, 2, 1]
    assert worst_mistakes(y_true, probabilities, n=2).tolist() == [3, 2]
    assert worst_mistakes([0, 0, 0, 0], probabilities).tolist() == []


def test_calibration_in_bins_of_equal_count():
    probabilities = np.zeros((6, 10))
    probabilities[:, 5] = [0.6, 0.6, 0.6, 0.9, 0.9, 0.9]
    confidence, accuracy = calibration([5, 0, 0, 5, 5, 0], probabilities, bins=2)
    np.testing.assert_allclose(confidence, [0.6, 0.9])
    np.testing.assert_allclose(accuracy, [1 / 3, 2 / 3])


@pytest.mark.parametrize(
    "score", [accuracy_by_digit, confusion, worst_mistakes, calibration]
)
@pytest.mark.parametrize("shapes", [((3,), (4, 10)), ((3, 1), (3, 10))])
def test_what_does_not_fit_is_refused(score, shapes):
    with pytest.raises(ValueError) as refused:
        score(*(np.zeros(shape, int) for shape in shapes))
    assert str(shapes[0]) in str(refused.value)
    assert str(shapes[1]) in str(refused.value)
