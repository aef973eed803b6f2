"""Inputs become jobs: files, globs, directories."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from PIL import Image

from pipeline.errors import ConfigError, SinkError, SourceError
from pipeline.run.batch import Job, named_beside, plan

if TYPE_CHECKING:
    from pathlib import Path


def jobs(inputs: list[str], output: str | None, *, recursive: bool = False) -> tuple[Job, ...]:
    return plan(inputs, output, recursive=recursive).jobs


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    inside = tmp_path / "in"
    inside.mkdir()
    for name in ("b.mp4", "a.MOV", "c.png", "notes.txt", "old.avi"):
        (inside / name).touch()
    return inside


def test_one_file_goes_to_a_file(folder: Path, tmp_path: Path) -> None:
    assert jobs([str(folder / "b.mp4")], str(tmp_path / "out.mkv")) == (Job(folder / "b.mp4", tmp_path / "out.mkv"),)
    assert not (tmp_path / "out.mkv").exists()


@pytest.mark.parametrize("output", ["out/", "there"])
def test_one_file_goes_into_what_is_or_looks_like_a_directory(folder: Path, tmp_path: Path, output: str) -> None:
    (tmp_path / "there").mkdir()
    (job,) = jobs([str(folder / "b.mp4")], f"{tmp_path}/{output}")
    assert job.target == tmp_path / output.rstrip("/") / "b.mp4"
    assert job.target.parent.is_dir()


def test_a_directory_gives_its_media_in_order_and_skips_the_rest(folder: Path, tmp_path: Path) -> None:
    found = jobs([str(folder)], str(tmp_path / "out"))
    assert [job.source.name for job in found] == ["a.MOV", "b.mp4", "c.png", "old.avi"]
    assert [job.target.name for job in found] == ["a.MOV", "b.mp4", "c.png", "old.mkv"]
    assert [job.still for job in found] == [False, False, True, False]


def test_a_glob_is_expanded_here_and_may_hold_subdirectories(folder: Path, tmp_path: Path) -> None:
    assert [job.source.name for job in jobs([f"{folder}/*.m*"], f"{tmp_path}/out/")] == ["b.mp4"]
    assert len(jobs([f"{tmp_path}/**/*.*[!t]"], f"{tmp_path}/out/")) == 4


def test_a_name_with_brackets_is_a_file_before_it_is_a_glob(tmp_path: Path) -> None:
    odd = tmp_path / "clip [1].mp4"
    odd.touch()
    assert jobs([str(odd)], str(tmp_path / "out.mp4"))[0].source == odd


def test_what_matches_nothing_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no file matches"):
        jobs([f"{tmp_path}/*.mp4"], str(tmp_path / "out"))
    with pytest.raises(SourceError, match="holds no video and no picture"):
        jobs([str(tmp_path)], str(tmp_path / "out"))


def test_several_inputs_need_a_directory(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SinkError, match="2 inputs need a directory"):
        jobs([str(folder / "b.mp4"), str(folder / "c.png")], str(tmp_path / "file"))


def test_a_directory_is_not_made_under_the_name_of_a_file(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(SinkError, match=r"4 inputs need a directory to go to, and .*x\.mp4 is named like a file"):
        jobs([str(folder)], str(tmp_path / "x.mp4"))
    assert not (tmp_path / "x.mp4").exists()


def test_a_network_address_is_told_from_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"https://example\.org/a\.mp4 is a network address"):
        jobs(["https://example.org/a.mp4"], str(tmp_path / "x.mp4"))


def test_two_outputs_of_one_name_are_refused(folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "b.mp4").touch()
    with pytest.raises(ConfigError, match="would all be written to"):
        jobs([str(folder / "b.mp4"), str(other / "b.mp4")], str(tmp_path / "out"))


def test_an_output_is_never_its_own_input(folder: Path) -> None:
    with pytest.raises(ConfigError, match="would replace its own input"):
        jobs([str(folder)], str(folder))
    with pytest.raises(ConfigError, match="would replace its own input"):
        jobs([str(folder / "b.mp4")], str(folder / ".." / "in" / "b.mp4"))


def test_without_an_output_it_lies_beside_its_input_under_another_name(folder: Path) -> None:
    found = jobs([str(folder / "b.mp4"), str(folder / "old.avi"), str(folder / "c.png")], None)
    assert [job.target.name for job in found] == ["b-barefaced.mp4", "old-barefaced.mkv", "c-barefaced.png"]
    assert all(job.target == named_beside(job.source) for job in found)


def test_outputs_of_a_directory_go_to_one_beside_it_and_are_no_inputs_of_the_next_run(folder: Path) -> None:
    found = jobs([str(folder)], None)
    assert {job.target.parent for job in found} == {folder.with_name("in-barefaced")}
    (folder / "b-barefaced.mp4").touch()
    assert jobs([str(folder)], None) == found
    assert [job.source.name for job in jobs([f"{folder}/*.mp4"], None)] == ["b.mp4"]


def test_subfolders_are_taken_when_asked_for_and_named_otherwise(folder: Path, tmp_path: Path) -> None:
    inner = folder / "day 1" / "raw"
    inner.mkdir(parents=True)
    (inner / "d.mp4").touch()
    left = plan([str(folder)], str(tmp_path / "out"))
    assert any("1 subfolder left out, --recursive takes them" in note for note in left.notes)
    taken = plan([str(folder)], str(tmp_path / "out"), recursive=True)
    assert tmp_path / "out" / "day 1" / "raw" / "d.mp4" in {job.target for job in taken.jobs}
    assert (tmp_path / "out" / "day 1" / "raw").is_dir()
    assert not any("subfolder left out" in note for note in taken.notes)


def test_pictures_that_are_not_read_are_named_with_a_cure(folder: Path, tmp_path: Path) -> None:
    for name in ("x.psd", "y.PSD", "z.jp2"):
        (folder / name).touch()
    notes = plan([str(folder)], str(tmp_path / "out")).notes
    assert any("1 .jp2, 2 .psd left out" in note and "convert them" in note for note in notes)


def test_files_that_are_neither_video_nor_picture_are_named(folder: Path, tmp_path: Path) -> None:
    for number in range(7):
        (folder / f"list{number}.csv").write_text("a,b")
    (folder / ".hidden.partial-0a1b2c3d.mp4").write_text("left by a run that was killed")
    batch = plan([str(folder)], str(tmp_path / "out"))
    assert any("list0.csv" in note and "and 3 others left out" in note for note in batch.notes), batch.notes
    assert not any("partial" in str(job.source) for job in batch.jobs)


def test_a_picture_without_a_suffix_is_found_in_a_folder(folder: Path, tmp_path: Path) -> None:
    Image.new("RGB", (8, 8)).save(folder / "photo", format="PNG")
    targets = {job.target.name for job in plan([str(folder)], str(tmp_path / "out")).jobs}
    assert "photo.png" in targets


def test_a_pattern_that_matches_one_file_may_go_into_a_directory_that_is_not_there(
    folder: Path, tmp_path: Path
) -> None:
    (job,) = jobs([f"{folder}/b.*"], str(tmp_path / "new"))
    assert job.target == tmp_path / "new" / "b.mp4"


def test_directories_of_an_output_are_made(folder: Path, tmp_path: Path) -> None:
    (job,) = jobs([str(folder / "b.mp4")], str(tmp_path / "a" / "b" / "c.mp4"))
    assert job.target.parent.is_dir()
    (tmp_path / "file").touch()
    with pytest.raises(SinkError, match="can't be made"):
        jobs([str(folder / "b.mp4")], str(tmp_path / "file" / "c.mp4"))


@pytest.mark.parametrize("given", ["{folder}/.*", "{folder}", "{folder}/.a.partial-0a1b2c3d.mp4"])
def test_an_unfinished_output_is_no_input(given: str, folder: Path, tmp_path: Path) -> None:
    (folder / ".a.partial-0a1b2c3d.mp4").write_text("left by a run that was killed")
    try:
        batch = plan([given.format(folder=folder)], str(tmp_path / "out"))
    except SourceError as error:
        assert "no file matches" in str(error) or "unfinished output" in str(error)
    else:
        assert not any("partial" in job.source.name for job in batch.jobs)


def test_what_killed_runs_left_where_outputs_go_is_removed(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    left = [tmp_path / "out" / ".a.partial-0a1b2c3d.mp4", folder / ".b.partial-0a1b2c3d.mkv"]
    for path in left:
        path.write_text("left")
    media = next(str(path) for path in sorted(folder.iterdir()) if path.suffix == ".mp4")
    plan([media], str(tmp_path / "out"))
    assert [path.exists() for path in left] == [False, True]
    plan([media], None)
    assert not left[1].exists()
