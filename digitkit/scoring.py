"""Scoring: what is read right, and how sure the network was.

In come true digits and predictions or probabilities; out come counts and shares that
`digitkit.plots` draws. Lesson 05 uses it. What scikit-learn counts is left to it.
"""

import numpy as np


def accuracy_by_digit(y_true, predicted):
    """Return the share read rightly of each digit.

    Parameters
    ----------
    y_true, predicted : (n,) integers from 0 to 9

    Returns
    -------
    (10,) float, NaN for a digit that does not occur.

    Examples
    --------
    >>> accuracy_by_digit([0, 0, 1], [0, 7, 1])[:2].tolist()
    [0.5, 1.0]
    """
    y_true, predicted = _checked(y_true, predicted)
    seen = np.bincount(y_true, minlength=10)
    right = np.bincount(y_true[y_true == predicted], minlength=10)
    return np.divide(right, seen, out=np.full(10, np.nan), where=seen > 0)


def confusion(y_true, predicted):
    """Return how often each digit (row) was read as each (column), ``(10, 10)``.

    This is `sklearn.metrics.confusion_matrix` for all ten digits.

    Parameters
    ----------
    y_true, predicted : (n,) integers from 0 to 9

    Returns
    -------
    (10, 10) integers
    """
    from sklearn.metrics import confusion_matrix

    return confusion_matrix(*_checked(y_true, predicted), labels=range(10))


def worst_mistakes(y_true, probabilities, n=10):
    """Return the positions of the mistakes that the network was surest of.

    Parameters
    ----------
    y_true : (m,) integers
    probabilities : (m, 10)
    n : int
        How many at most.

    Returns
    -------
    (at most n,) integers, the surest first.

    Examples
    --------
    >>> worst_mistakes([3, 7], 0.9 * np.eye(10)[[3, 1]]).tolist()
    [1]
    """
    y_true, probabilities = _checked(y_true, probabilities, (10,))
    wrong = np.flatnonzero(probabilities.argmax(axis=1) != y_true)
    surest_first = np.argsort(-probabilities[wrong].max(axis=1), kind="stable")
    return wrong[surest_first][:n]


def calibration(y_true, probabilities, bins=10):
    """Compare how sure the network was with how often it was right.

    Parameters
    ----------
    y_true : (n,) integers
    probabilities : (n, 10)
    bins : int

    Returns
    -------
    confidence, accuracy : (at most bins,) float
        Means in bins of equal count, by `sklearn.calibration.calibration_curve`.
    """
    from sklearn.calibration import calibration_curve

    y_true, probabilities = _checked(y_true, probabilities, (10,))
    right = probabilities.argmax(axis=1) == y_true
    accuracy, confidence = calibration_curve(
        right, probabilities.max(axis=1), n_bins=bins, strategy="quantile"
    )
    return confidence, accuracy


def _checked(y_true, other, width=()):
    """Return both as arrays, or raise ValueError if their shapes do not belong."""
    y_true, other = np.asarray(y_true), np.asarray(other)
    if y_true.ndim != 1 or other.shape != (len(y_true), *width):
        raise ValueError(
            f"expected true digits (n,) and predictions {('n', *width)}, received "
            f"{y_true.shape} and {other.shape}"
        )
    return y_true, other
