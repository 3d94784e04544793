"""What the stand-in teaches: ``standin.py [FILE] [--seeds N]``.

Trains the recipe `quick` on the stand-in alone, and prints for each seed how many it
reads of the stand-in's test images, of MNIST's, where there is MNIST, and, if FILE is
given, of its real pen drawings (its format: see pen_accuracy.py).
"""

import time

from training import read_arguments, report

from digitkit import data, standin


def main():
    """Print the table."""
    _, arguments = read_arguments(__doc__)
    begun = time.process_time()
    drawn = standin.draw_data_set()
    print(f"70 000 images drawn in {time.process_time() - begun:.0f} s on one core")
    tests = {"itself": drawn[1]}
    mnist = data.load_mnist()
    if data.data_source() == "mnist":
        tests["MNIST"] = mnist[1]
    report(drawn, tests, arguments)


if __name__ == "__main__":
    main()
