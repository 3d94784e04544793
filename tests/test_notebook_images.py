"""The pictures in the prose are light, and the film of the pad is pleasant to see."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageSequence

IMAGES = Path(__file__).parent.parent / "notebooks" / "images"


def test_pictures_are_light():
    sizes = {path.name: path.stat().st_size for path in IMAGES.glob("*.png")}
    assert sizes
    assert max(sizes.values()) < 60_000, sizes


def test_the_film_is_light_short_and_still_where_nothing_happens():
    path = IMAGES / "session.gif"
    assert path.stat().st_size < 400_000
    with Image.open(path) as film:
        assert film.info["loop"] == 0  # for ever
        times, tops = [], []
        for frame in ImageSequence.Iterator(film):
            times.append(frame.info["duration"])
            tops.append(np.asarray(frame.convert("RGB"))[: film.height // 3])
    assert 8_000 < sum(times) < 13_000
    assert times[0] == max(times)  # an answer: all that is seen of a stopped film
    assert (tops[0][0] == 255).all()  # as white as the page around it
    assert all((top == tops[0]).all() for top in tops)  # toolbar and code: no flicker
