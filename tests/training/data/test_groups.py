from pathlib import Path

import pytest

from pipeline.errors import SourceError
from training.data.groups import read_labels


def test_labels_are_read_and_empty_cells_say_nothing(tmp_path: Path) -> None:
    path = tmp_path / "groups.csv"
    path.write_text("name,age,glasses\na,old,yes\nb,,no\n")
    assert read_labels(path, ["a", "b", "c"]) == {"a": {"age": "old", "glasses": "yes"}, "b": {"glasses": "no"}}


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("", "needs a first line"),
        ("photo,age\na,old\n", "column 'name'"),
        ("name,age\nz,old\n", "none of the photos"),
        ("name,age\na,old,tall\n", "more or fewer cells"),
        ("name,age\na\n", "more or fewer cells"),
    ],
)
def test_table_that_says_nothing_of_the_photos_is_an_error(tmp_path: Path, content: str, why: str) -> None:
    path = tmp_path / "groups.csv"
    path.write_text(content)
    with pytest.raises(SourceError, match=why):
        read_labels(path, ["a", "b"])


def test_table_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="can't be read"):
        read_labels(tmp_path / "none.csv", ["a"])
