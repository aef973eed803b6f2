"""The tally counts what passes, and the report says it."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from pipeline.errors import SinkError
from pipeline.frames import Cropped, Drawer, DrawnBy, FaceCrop, Inpainted, Patch, Skipped
from pipeline.geometry import CROP_SIZE, Affine
from pipeline.run.report import FileState, Report, Tally, check_report, joined, stage_table, write_json
from pipeline.threads.worker import StageStats
from tests.pipeline.faces import frame_of, track_of, tracked, upright

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline.frames import Track

IMAGE = np.zeros((CROP_SIZE, CROP_SIZE, 3), np.uint8)
STAGE = StageStats("blend", items=3, dropped=0, busy_seconds=1, starved_seconds=2, blocked_seconds=3, cpu_seconds=0.5)


def item(masked: tuple[Track, ...], left: tuple[tuple[Track, Skipped], ...] = ()) -> Inpainted:
    seen = tracked(frame_of(np.zeros((64, 64, 3), np.uint8)), *masked, *(track for track, _ in left))
    mask = np.ones((CROP_SIZE, CROP_SIZE), np.float32)
    crops = tuple(FaceCrop(track, IMAGE, mask, Affine(np.eye(2, 3))) for track in masked)
    return Inpainted(Cropped(seen, crops, left), tuple(Patch(crop, IMAGE) for crop in crops))


def tallied(*items: Inpainted) -> Tally:
    tally = Tally()
    assert list(tally(iter(items))) == list(items)
    return tally


def report_of(tally: Tally, **changes: object) -> Report:
    values: dict[str, object] = {
        "input": "in.mp4",
        "output": "out.mp4",
        "complete": True,
        "frames_in": 4,
        "frames_out": 4,
        "bad_packets": 0,
        "wall_seconds": 2.0,
        "engine": "openvino",
        "networks": {"generator": "abc"},
        "tally": tally,
        "stages": (STAGE,),
    }
    return Report(**(values | changes))  # type: ignore[arg-type]


def test_the_tally_sums_over_frames_and_sorts_who_was_left() -> None:
    one, two, three = (track_of(upright(x=60.0 * number), number) for number in range(1, 4))
    tally = tallied(
        item((one, two), ((three, Skipped.BARE),)),
        item((one,), ((two, Skipped.TURNED_AWAY), (three, Skipped.BARE))),
        item((), ((one, Skipped.TOO_SMALL),)),
        item(()),
    )
    assert (tally.faces, tally.masked_faces, tally.frames_with_mask) == (7, 3, 2)
    told = report_of(tally).as_json()
    assert told["bare_faces"] == 2
    assert told["faces_left"] == {"too small": 1, "turned away": 1}
    assert told["faces"] == 7


def test_the_report_has_what_its_schema_promises() -> None:
    told = report_of(tallied()).as_json()
    assert json.loads(json.dumps(told)) == told
    assert told["fps"] == 2.0
    assert told["stages"] == {"blend": {"items": 3, "dropped": 0, "busy": 1, "starved": 2, "blocked": 3, "cpu": 0.5}}


def test_no_time_is_no_division() -> None:
    assert report_of(tallied(), wall_seconds=0.0).as_json()["fps"] == 0.0


@pytest.mark.parametrize("count", [1, 2])
def test_a_report_has_one_shape_however_many_inputs_there_are(count: int) -> None:
    good, bad = report_of(tallied()), report_of(tallied(), complete=False)
    told = joined([good] * count)
    assert told["complete"] is True
    assert told["files"] == [good.as_json()] * count
    assert "invented" in str(told["note"])
    assert joined([good, bad])["complete"] is False
    assert joined([good, replace(bad, left_out=FileState.NOT_BEGUN)])["interrupted"] is True


@pytest.mark.parametrize(
    ("changes", "state"),
    [
        ({}, "done"),
        ({"error": "no disk"}, "failed"),
        ({"interrupted": True}, "cut short"),
        ({"left_out": FileState.SKIPPED}, "skipped"),
        ({"left_out": FileState.NOT_BEGUN}, "not begun"),
    ],
)
def test_how_a_file_ended_is_a_word(changes: dict[str, object], state: str) -> None:
    report = report_of(tallied(), **changes)
    assert report.as_json()["state"] == state
    assert report.left_out is None or report.summary == f"{state}."


def test_the_table_has_a_line_for_each_stage() -> None:
    head, line = stage_table([STAGE]).splitlines()
    assert head.split()[0] == "stage"
    assert line.split() == ["blend", "3", "1.00", "2.00", "3.00", "0.50"]


def test_the_summary_counts_as_people_do() -> None:
    one, two = track_of(upright(), 1), track_of(upright(x=90.0), 2)
    assert report_of(tallied(item((one, two)))).summary == "4 frames at 2.0 fps; masks drawn over in 1 frame."
    twice = tallied(item((one,)), item((one,)))
    assert report_of(twice, frames_out=1).summary == "1 frame at 0.5 fps; masks drawn over in 2 frames."
    assert report_of(twice, interrupted=True).summary.startswith("cut short; 4 frames")


def test_the_summary_of_a_picture_knows_no_speed() -> None:
    one, two = track_of(upright(), 1), track_of(upright(x=90.0), 2)
    assert report_of(tallied(item((one, two))), picture=True).summary == "1 picture; 2 masks drawn over."
    left = report_of(tallied(item((), ((one, Skipped.TOO_SMALL), (two, Skipped.TOO_SMALL)))), picture=True)
    assert left.masks_left == "masks may be left on: 2 faces too small"


def test_a_run_that_drew_nothing_says_so_and_why() -> None:
    one, two = track_of(upright(), 1), track_of(upright(x=90.0), 2)
    assert report_of(Tally()).summary.endswith("fps; nothing drawn: no face was found.")
    bare = tallied(item((), ((one, Skipped.BARE), (two, Skipped.BARE))))
    assert report_of(bare).summary.endswith("fps; nothing drawn: 2 faces without a mask.")
    doubted = tallied(item((), ((one, Skipped.UNCERTAIN),)))
    assert report_of(doubted).summary.endswith("fps; nothing drawn: 1 face left as found.")


def test_a_report_that_can_not_be_written_is_an_error_of_ours(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SinkError, match="can't be written"):
        write_json({}, str(tmp_path / "file" / "report.json"))


def test_a_report_is_whole_whenever_it_is_looked_at_and_its_directory_is_made(tmp_path: Path) -> None:
    path = tmp_path / "new" / "report.json"
    for value in (1, 2):
        write_json(value, str(path))
        assert json.loads(path.read_text()) == value
    assert [entry.name for entry in path.parent.iterdir()] == ["report.json"]


def test_it_is_said_which_network_drew_how_many_faces_and_why() -> None:
    own, other = DrawnBy("me", Drawer.RECOGNISED), DrawnBy(None, Drawer.IN_DOUBT)
    seen = item((track_of(upright(), 1), track_of(upright(x=60.0), 2)))
    patches = tuple(
        replace(patch, crop=replace(patch.crop, drawn_by=drawer))
        for patch, drawer in zip(seen.patches, (own, other), strict=True)
    )
    tally = tallied(*[replace(seen, patches=patches)] * 2, replace(seen, patches=patches[:1]))
    report = report_of(tally)
    assert report.as_json()["drawn_by"] == {"shipped": {"in doubt": 2}, "me": {"recognised": 3}}
    assert report.summary.endswith("3 frames: 3 by me (recognised), 2 by the shipped network (in doubt).")
    assert report_of(tallied(seen)).as_json()["drawn_by"] == {}


def test_a_name_that_is_not_utf8_is_escaped(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name = os.fsdecode(b"caf\xe9.mp4")
    write_json({"files": [name]}, str(tmp_path / "r.json"))
    assert json.loads((tmp_path / "r.json").read_text(encoding="utf-8")) == {"files": [name]}
    write_json({"files": [name]}, "-")
    assert json.loads(capsys.readouterr().out) == {"files": [name]}


@pytest.mark.parametrize("content", [b"holiday", b"[1, 2]", b'{"precious": 1}', bytes(range(256))])
def test_a_report_takes_no_file_away_that_is_none(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "r.json").write_bytes(content)
    with pytest.raises(SinkError, match="no report"):
        check_report(str(tmp_path / "r.json"), [])
    assert (tmp_path / "r.json").read_bytes() == content


def test_a_report_takes_neither_input_nor_output_away(tmp_path: Path) -> None:
    clip, linked = tmp_path / "clip.mp4", tmp_path / "linked.json"
    clip.write_bytes(b"a film")
    linked.symlink_to(clip)
    for path in (clip, linked):
        with pytest.raises(SinkError, match="input or an output"):
            check_report(str(path), [clip])


def test_an_older_report_is_replaced(tmp_path: Path) -> None:
    write_json({"files": []}, str(tmp_path / "r.json"))
    check_report(str(tmp_path / "r.json"), [tmp_path / "a.mp4"])
    check_report(str(tmp_path / "new.json"), [])
    check_report("-", [])
