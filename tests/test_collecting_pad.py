"""The pad that collects a class's handwriting: each digit in turn, nothing lost."""

import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from test_pad import SEVEN, button, draw, press, status

from digitkit import drawings
from digitkit.pad.collecting_pad import CollectingPad


@pytest.fixture
def path(tmp_path, monkeypatch):
    monkeypatch.setenv("DIGITKIT_WORK", str(tmp_path))
    return tmp_path / "my_hand.json"


@pytest.fixture
def pad(path):
    return CollectingPad()


def labels(path):
    return drawings.load_drawings(path)[1].tolist()


def test_it_asks_for_each_digit_in_turn_and_goes_on_where_it_was(pad, path):
    asked = []
    for number in range(20):
        again = CollectingPad(path)  # the cell is run again, or the kernel restarted
        assert (again.done, again.asked) == (number, pad.asked)
        article = "an" if pad.asked == 8 else "a"
        assert status(pad) == f"Write {article} {pad.asked} ({number + 1} of 20)"
        assert f"{number} of 20 written" in pad.children[1].value
        asked.append(pad.asked)
        draw(pad, SEVEN)
        pad.save()
        assert pad.strokes == []
    assert sorted(asked[:10]) == sorted(asked[10:]) == [*range(10)]
    assert asked[:10] != asked[10:], "nobody writes by rote"
    assert labels(path) == asked
    entries = drawings.read_entries(path)
    assert {key for entry in entries for key in entry} == {"label", "strokes"}, (
        "no name"
    )
    np.testing.assert_allclose(entries[-1]["strokes"], [SEVEN], rtol=1e-5)


def test_when_all_are_written_it_saves_no_more_until_some_are_removed(path):
    pad = CollectingPad(path, each=1)
    while pad.asked is not None:
        pad.add_stroke(SEVEN)
        pad.save()
    assert status(pad) == "Thank you: all are written, in my_hand.json"
    draw(pad, SEVEN)
    with pytest.raises(ValueError, match="written already"):
        pad.save()
    assert pad.strokes == [SEVEN] and pad.done == len(labels(path)) == 10
    assert CollectingPad(path, each=2).done == 10, "one round more may be asked for"
    removed = labels(path)[4]
    drawings.remove_drawings([4], path)
    assert CollectingPad(path, each=1).asked == removed


def test_buttons_and_keys_save_and_take_back(pad, path):
    focus, first = [], pad.asked
    pad._canvas.focus = lambda: focus.append("paper")
    button(pad, "Save").focus = lambda: focus.append("Save")
    draw(pad, SEVEN)
    draw(pad, SEVEN)
    button(pad, "Undo").click()
    assert pad.strokes == [SEVEN]
    button(pad, "Clear").click()
    button(pad, "Save").click()
    assert "Not saved: there is nothing to save" in status(pad) and not path.exists()
    press(pad, " ", "ArrowDown", "ArrowDown", "Enter", "Enter")
    assert labels(path) == [first] and focus == ["paper", "paper"]
    press(pad, "Tab")
    assert focus[-1] == "Save"
    assert "Enter saves" in pad.children[2].value


def test_two_pads_on_one_file_save_as_what_each_asked_for(pad, path):
    other = CollectingPad(path)
    first = pad.asked
    for each in (pad, other):
        draw(each, SEVEN)
        each.save()
    assert labels(path) == [first, first]
    assert (pad.done, other.done) == (1, 2)


@pytest.mark.parametrize("each", [0, 1.5, "2", None, True])
def test_a_wrong_count_is_refused(path, each):
    with pytest.raises(ValueError, match="expected to ask 1 time or more, received"):
        CollectingPad(path, each=each)


def test_a_damaged_file_or_a_full_disk_is_told_and_loses_nothing(path, monkeypatch):
    def fail(*_):
        raise OSError(28, "No space left on <device>")

    path.write_text("[")
    pad = CollectingPad(path)
    assert "my_hand.json is no strokes file" in status(pad)
    draw(pad, SEVEN)
    button(pad, "Save").click()
    assert status(pad).startswith("Not saved: ") and pad.strokes == [SEVEN]
    assert path.read_text() == "["
    path.unlink()
    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", fail)
        button(pad, "Save").click()
    assert "No space left on &lt;device&gt;" in status(pad)
    assert pad.strokes == [SEVEN] and not path.exists()
    button(pad, "Save").click()
    assert len(labels(path)) == 1


def test_a_kernel_killed_at_any_time_leaves_a_whole_file(path):
    program = (
        "import sys\nfrom digitkit.pad.collecting_pad import CollectingPad\n"
        "pad = CollectingPad(sys.argv[1], each=1000)\n"
        "print('ready', flush=True)\n"
        "while True:\n"
        "    pad.add_stroke([(0.1, 0.1), (0.9, 0.9)]); pad.save()"
    )
    written = 0
    for seconds in (0.1, 0.17, 0.23):
        kernel = subprocess.Popen(
            [sys.executable, "-c", program, str(path)], stdout=subprocess.PIPE
        )
        assert kernel.stdout.readline().strip() == b"ready"
        time.sleep(seconds)
        kernel.kill()
        kernel.communicate()
        pad = CollectingPad(path, each=1000)
        assert pad.done >= written and labels(path) == pad._order[: pad.done]
        written = pad.done
    assert written
