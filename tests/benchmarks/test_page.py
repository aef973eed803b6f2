"""The page is well formed, loads nothing, and shows every part; tables go where documents want them."""

from __future__ import annotations

import json
import re
import shutil
from html.parser import HTMLParser
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import pytest
from PIL import Image

import cli
from benchmarks import figures, page, plots, tables
from benchmarks.record import PARTS
from benchmarks.svg import Linear, Log, rounded_step, shown
from pipeline.errors import ConfigError, SinkError
from tests.benchmarks import documents

if TYPE_CHECKING:
    from pathlib import Path

VOID = {"meta", "br", "hr", "img", "input", "link"}
LOADS = re.compile(r"(?:src|href|xlink:href|data|poster|action)\s*=\s*[\"'](?!#)", re.IGNORECASE)


class Nesting(HTMLParser):
    """Holds that every tag that is opened is closed, in order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        del attrs
        self.seen.append(tag)
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag


@pytest.fixture(scope="module")
def whole() -> str:
    return page.page(documents.everything())


def test_the_page_is_well_formed(whole: str) -> None:
    nesting = Nesting()
    nesting.feed(whole)
    nesting.close()
    assert nesting.open == []
    assert nesting.seen.count("section") == len(PARTS)
    assert nesting.seen.count("svg") == nesting.seen.count("figure") >= len(PARTS)


def test_the_page_loads_nothing_and_runs_nothing(whole: str) -> None:
    assert not LOADS.search(whole)
    assert "<script" not in whole
    assert "url(" not in whole
    assert "@import" not in whole
    assert set(re.findall(r"https?://[^\"'\s<]+", whole)) <= {"http://www.w3.org/2000/svg"}


def test_the_page_is_readable_in_the_light_and_in_the_dark(whole: str) -> None:
    assert "prefers-color-scheme:dark" in whole
    used = set(re.findall(r"var\((--\w+)\)", whole))
    for theme in (page.LIGHT, page.DARK):
        assert used <= set(re.findall(r"(--\w+):", theme))


def test_every_class_that_a_plot_uses_has_a_style() -> None:
    styled = set(re.findall(r"\.([a-z-]+)", page.STYLE))
    for drawn in figures.of(documents.everything()).values():
        for figure in drawn:
            used = {name for names in re.findall(r'class="([^"]*)"', figure.svg) for name in names.split()}
            assert used <= styled, figure.name


def test_plots_are_well_formed_and_nothing_lies_outside() -> None:
    for drawn in figures.of(documents.everything()).values():
        for figure in drawn:
            root = ET.fromstring(figure.svg)  # noqa: S314 - our own
            width, height = (float(side) for side in root.attrib["viewBox"].split()[2:])
            assert root.attrib["aria-label"]
            for mark in root:
                for key, most in (
                    ("x", width),
                    ("cx", width),
                    ("x1", width),
                    ("x2", width),
                    ("y", height),
                    ("cy", height),
                ):
                    assert -0.5 <= float(mark.attrib.get(key, 0)) <= most + 0.5, (figure.name, mark.attrib)


def test_a_text_that_looks_like_markup_is_text() -> None:
    whole = documents.pipeline()
    whole["machine"]["processor"] = "<script>alert(1)</script>"
    assert "<script" not in page.page(whole)


def test_a_part_alone_is_a_page_too() -> None:
    assert page.page(documents.live()).count("<section") == 1


@pytest.mark.parametrize("scale", [Linear(0, 47, 0, 470), Log(0.3, 420, 0, 100), Log(14, 190, 0, 100)])
def test_ticks_are_round_few_and_on_the_scale(scale: Linear | Log) -> None:
    assert 2 <= len(scale.ticks) <= 8
    for tick in scale.ticks:
        assert min(scale.begin, scale.end) - 1e-6 <= scale(tick) <= max(scale.begin, scale.end) + 1e-6


def test_numbers_are_short() -> None:
    assert [shown(value) for value in (0, 0.0119, 3.0, 17.14, 141.49)] == ["0", "0.0119", "3", "17.1", "141"]
    assert rounded_step(0.7) == 1
    assert rounded_step(23) == 50


def test_a_waterfall_begins_each_stage_where_the_one_above_ended() -> None:
    root = ET.fromstring(plots.waterfall({"a": {"own": 2.0}, "b": {"codec": 1.0, "own": 1.0}}, "a", "told"))  # noqa: S314 - our own
    boxes = [mark for mark in root if mark.tag.endswith("rect") and list(mark)]
    ends = [float(box.attrib["x"]) + float(box.attrib["width"]) for box in boxes]
    assert [float(box.attrib["x"]) for box in boxes[1:]] == pytest.approx(ends[:-1], abs=0.11)


def test_tables_stand_in_markdown() -> None:
    text = tables.markdown(documents.everything())
    for part in PARTS:
        assert f"### {part}" in text
    assert "| 640x480 | 5" in text
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert all(line.endswith("|") for line in rows)


def test_tables_go_between_the_marks_of_a_document(tmp_path: Path) -> None:
    target = tmp_path / "page.md"
    spoken_of = f"Between `{tables.BEGIN}` and `{tables.END}` it says:"
    target.write_text(f"# Fast\n\n{spoken_of}\n\n{tables.BEGIN}\nold\n{tables.END}\n\nEnd.\n")
    tables.write(documents.live(), str(target))
    tables.write(documents.live(), str(target))
    text = target.read_text()
    assert text.startswith(f"# Fast\n\n{spoken_of}\n\n")
    assert text.endswith("\n\nEnd.\n")
    assert "old" not in text
    assert text.count("### live") == 1
    target.write_text("no marks")
    with pytest.raises(SinkError, match="no place for tables"):
        tables.write(documents.live(), str(target))
    assert target.read_text() == "no marks"


def test_what_was_kept_is_shown_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kept, html = tmp_path / "kept.json", tmp_path / "kept.html"
    kept.write_text(json.dumps(documents.everything()))
    assert cli.main(["bench", "show", str(kept)]) == 0
    assert "### scale" in capsys.readouterr().out
    assert cli.main(["bench", "show", str(kept), "--html", str(html)]) == 0
    assert capsys.readouterr().out == ""
    assert html.read_text().count("<section") == len(PARTS)


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        (["bench", "live", "--frames", "3"], "--frames means nothing to `bench live`"),
        (["bench", "engines", "--minutes", "3"], "--minutes means nothing to `bench engines`"),
        (["bench", "compare", "a.json"], "takes FILE.json FILE.json, not 1 files"),
        (["bench", "pipeline", "a.json"], "takes no file, not 1 files"),
        (["bench", "live", "--size", "640x480", "--size", "320x240"], "measures one size"),
    ],
)
def test_flags_without_effect_are_told(asked: list[str], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(asked) == 1
    assert says in capsys.readouterr().err


def test_without_a_browser_there_are_no_pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _name: None)
    with pytest.raises(ConfigError, match="install chromium"):
        page.write_pngs(documents.live(), tmp_path)


def test_pictures_are_drawn_light_and_dark(tmp_path: Path) -> None:
    if not any(map(shutil.which, page.BROWSERS)):
        pytest.skip("no browser here")
    light, dark = page.write_pngs(documents.live(), tmp_path)
    brightness = []
    for path in (light, dark):
        with Image.open(path) as picture:
            assert picture.width == 2 * page.PNG_WIDTH
            brightness.append(picture.convert("L").getpixel((4, 4)))
    assert brightness[0] > 230
    assert brightness[1] < 60


def test_words_beside_points_hide_no_point_and_no_other_words() -> None:
    crowded = [
        plots.Point(f"a long name, {index}", 10 + index / 5, 12 + index / 9, on_front=False) for index in range(6)
    ]
    crowded.append(plots.Point("untrained", 60.0, None, on_front=False))
    root = ET.fromstring(plots.against(crowded, "ms", "dB", "told"))  # noqa: S314 - our own
    boxes = []
    for text in root.iter("{http://www.w3.org/2000/svg}text"):
        if text.text and text.text.startswith(("a long", "untrained")):
            x, y, width = float(text.attrib["x"]), float(text.attrib["y"]), 6 * len(text.text)
            left = x if text.attrib["text-anchor"] == "start" else x - width
            boxes.append((left, y - 10, left + width, y))
    assert len(boxes) == len(crowded)
    dots = [
        (float(dot.attrib["cx"]), float(dot.attrib["cy"])) for dot in root.iter("{http://www.w3.org/2000/svg}circle")
    ]
    for index, (left, top, right, bottom) in enumerate(boxes):
        assert left >= 0
        assert right <= plots.WIDTH
        assert not [1 for x, y in dots if left < x < right and top < y < bottom]
        for other in boxes[:index]:
            assert right < other[0] or left > other[2] or bottom < other[1] or top > other[3]
