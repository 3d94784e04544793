"""Exercises: which of a lesson's exercises still have no answer.

Each lesson's last check calls this with its own names. It prints, and gives nothing.
"""


def print_open_exercises(names, count):
    """Print which of a notebook's exercises have no answer yet.

    Parameters
    ----------
    names : dict
        The notebook's names, ``globals()``. Exercise 1 is answered when ``answer_1`` is
        there and is no longer ``...``.
    count : int
        How many exercises there are.

    Examples
    --------
    >>> print_open_exercises({"answer_1": 0.5, "answer_2": ...}, 3)
    Exercises 2 and 3 are still open. Run this cell again when you have tried them.
    >>> print_open_exercises({"answer_1": 0.5}, 1)
    All exercises are tried: compare with the answers.
    """
    numbers = range(1, count + 1)
    still = [str(n) for n in numbers if names.get(f"answer_{n}", ...) is ...]
    if not still:
        print("All exercises are tried: compare with the answers.")
        return
    *first, last = still
    which = f"s {', '.join(first)} and {last} are" if first else f" {last} is"
    them = "them" if first else "it"
    print(
        f"Exercise{which} still open. Run this cell again when you have tried {them}."
    )
