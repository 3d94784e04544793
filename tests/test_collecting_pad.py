"""The pad that collects a class's handwriting: each digit in turn, nothing lost."""

import re
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
def path(tmp_path):
    return tmp_path / "my_hand.json"


@pytest.fixture
def pad(path):
    return CollectingPad(path)


def write(pad, times=1):
    for _ in range(times):
        draw(pad, SEVEN)
        pad.save()


def labels(path):
    return drawings.load_drawings(path)[1].tolist()


def test_it_asks_for_each_digit_in_turn_and_keeps_what_is_written(pad, path):
    asked = []
    for number in range(1, 21):
        article = "an" if pad.asked == 8 else "a"
        assert status(pad) == f"Write {article} {pad.asked} ({number} of 20)"
        assert f'value="{number - 1}" max="20"' in pad.children[1].value
        assert f"{number - 1} of 20 written" in pad.children[1].value
        asked.append(pad.asked)
        pad.add_stroke(np.array(SEVEN) * number / 20)
        pad.save()
        assert pad.strokes == []
    assert sorted(asked[:10]) == sorted(asked[10:]) == [*range(10)]
    assert asked[:10] != asked[10:] and asked[:10] != [*range(10)]
    assert labels(path) == asked
    entries = drawings.read_entries(path)
    assert {key for x in entries for key in x} == {"label", "strokes"}  # no name
    for number, entry in enumerate(entries, 1):
        expected = [np.array(SEVEN) * number / 20]
        np.testing.assert_allclose(entry["strokes"], expected, rtol=1e-5)


def test_it_goes_on_where_it_was_in_the_same_order(pad, path):
    write(pad, 7)
    again = CollectingPad(path)  # the cell is run again, or the kernel restarted
    assert (again.done, again.asked) == (pad.done, pad.asked) == (7, pad._order[7])
    assert status(again) == status(pad) and "(8 of 20)" in status(again)


def test_what_is_removed_is_asked_for_again(pad, path):
    write(pad, 20)
    assert pad.asked is None
    drawings.remove_drawings([4, 13], path)
    again = CollectingPad(path)
    assert again.done == 18
    missing = []
    while again.asked is not None:
        missing.append(again.asked)
        write(again)
    assert sorted(missing) == sorted([pad._order[4], pad._order[13]])


def test_when_all_are_written_it_thanks_and_saves_no_more(path):
    pad = CollectingPad(path, each=1)
    write(pad, 10)
    assert status(pad) == "Thank you: all are written, in my_hand.json"
    assert (pad.done, pad.total, pad.asked) == (10, 10, None)
    draw(pad, SEVEN)
    with pytest.raises(ValueError, match="written already"):
        pad.save()
    assert pad.strokes == [SEVEN] and len(labels(path)) == 10
    assert CollectingPad(path, each=2).done == 10, "one round more may be asked for"


def test_undo_clear_and_a_double_click(pad, path):
    draw(pad, SEVEN)
    draw(pad, SEVEN)
    button(pad, "Undo").click()
    assert pad.strokes == [SEVEN]
    button(pad, "Clear").click()
    assert pad.strokes == []
    button(pad, "Save").click()
    assert status(pad) == "Not saved: there is nothing to save: draw a digit first"
    assert not list(path.parent.iterdir())
    draw(pad, SEVEN)
    button(pad, "Save").click()
    button(pad, "Save").click()
    assert labels(path) == pad._order[:1]


def test_enter_saves_and_stays_on_the_paper_and_tab_goes_on(pad, path):
    focus = []
    pad._canvas.focus = lambda: focus.append("paper")
    button(pad, "Save").focus = lambda: focus.append("Save")
    press(pad, " ", "ArrowDown", "ArrowDown", "Enter")
    assert labels(path) == pad._order[:1] and focus == ["paper"]
    assert pad.strokes == [] and "(2 of 20)" in status(pad)
    press(pad, "Enter")
    assert "Not saved" in status(pad) and len(labels(path)) == 1
    press(pad, "Tab")
    assert focus[-1] == "Save"


def test_two_pads_on_one_file_save_as_what_each_asked_for(pad, path):
    other, first = CollectingPad(path), pad.asked
    write(pad)
    draw(other, SEVEN)
    button(other, "Save").click()
    assert labels(path) == [first, first], "it was asked for on both"
    assert other.asked == pad._order[1] and pad.done == 1 and other.done == 2


def test_the_default_file_is_in_the_work_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("DIGITKIT_WORK", str(tmp_path / "work"))
    pad = CollectingPad()
    assert not (tmp_path / "work").exists()
    write(pad)
    assert (tmp_path / "work/my_hand.json").exists()


@pytest.mark.parametrize("each", [0, 1.5, "2", None, True])
def test_a_wrong_count_is_refused(path, each):
    with pytest.raises(ValueError, match="expected to ask 1 time or more, received"):
        CollectingPad(path, each=each)


def test_a_damaged_file_is_told_at_once_and_stays(path):
    path.write_text("[")
    pad = CollectingPad(path)
    assert "my_hand.json is no strokes file" in status(pad)
    draw(pad, SEVEN)
    button(pad, "Save").click()
    assert status(pad).startswith("Not saved: ") and pad.strokes == [SEVEN]
    assert path.read_text() == "["
    path.unlink()
    button(pad, "Save").click()
    assert labels(path) == pad._order[:1]


def test_a_full_disk_is_told_and_the_drawing_stays(pad, path, monkeypatch):
    write(pad, 2)
    before = path.read_bytes()

    def fail(self, content):
        raise OSError(28, "No space left on <device>")

    draw(pad, SEVEN)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", fail)
        button(pad, "Save").click()
    assert "No space left on &lt;device&gt;" in status(pad)
    assert pad.strokes == [SEVEN] and path.read_bytes() == before
    button(pad, "Save").click()
    assert len(labels(path)) == 3


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


def test_the_help_names_the_key_that_saves(pad):
    assert re.search("Enter saves", pad.children[2].value)
