"""The page is well formed, loads nothing, and shows every part; tables go where documents want them."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from itertools import pairwise
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import pytest
from matplotlib.figure import Figure as Canvas
from PIL import Image

import cli
from benchmarks import drawing, page, parts
from benchmarks.page import Verdict, compared
from benchmarks.record import BenchmarkError, shown
from pipeline.errors import SinkError
from tests.benchmarks import documents

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.axes import Axes


PARTS = 7
"""How many are measured when all are."""
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
    return page.html_page(documents.everything())


def test_the_page_is_well_formed(whole: str) -> None:
    nesting = Nesting()
    nesting.feed(whole)
    nesting.close()
    assert nesting.open == []
    assert nesting.seen.count("section") == PARTS
    assert nesting.seen.count("svg") == nesting.seen.count("figure") >= PARTS


def test_the_page_loads_nothing_and_runs_nothing(whole: str) -> None:
    assert not LOADS.search(whole)
    assert "<script" not in whole
    assert not re.search(r"url\((?!#)", whole)
    assert "@import" not in whole
    assert set(re.findall(r"https?://[^\"'\s<]+", whole)) <= {
        "http://www.w3.org/2000/svg",
        "http://www.w3.org/1999/xlink",
    }


def test_the_page_is_readable_in_the_light_and_in_the_dark(whole: str) -> None:
    assert "prefers-color-scheme:dark" in whole
    used = set(re.findall(r"var\((--\w+)\)", whole))
    for theme in (page.LIGHT, page.DARK):
        assert used <= set(re.findall(r"(--\w+):", theme))


def drawn() -> list[drawing.Figure]:
    return [figure for part, whole in parts.shown(documents.everything()).values() for figure in part.figures(whole)]


def test_figures_are_well_formed_say_what_they_show_and_have_the_pages_colours() -> None:
    for figure in drawn():
        root = ET.fromstring(figure.svg())  # noqa: S314 - our own
        assert root.attrib["aria-label"] == figure.label
        assert not re.findall(r"#[0-9a-f]{6}\b", figure.svg().replace("#000000", "")), figure.name


def test_a_figure_drawn_again_is_the_same() -> None:
    figure = drawn()[0]
    assert figure.svg() == figure.svg()


def test_a_text_that_looks_like_markup_is_text() -> None:
    whole = documents.pipeline()
    whole["machine"]["processor"] = "<script>alert(1)</script>"
    assert "<script" not in page.html_page(whole)


def test_a_part_alone_is_a_page_too() -> None:
    assert page.html_page(documents.live()).count("<section") == 1


def test_numbers_are_short() -> None:
    assert [shown(value) for value in (0, 0.0119, 3.0, 17.14, 141.49)] == ["0", "0.0119", "3", "17.1", "141"]


def axes_of(shown: drawing.Drawing) -> Axes:
    axes = Canvas().subplots()
    shown.draw(axes, drawing.LIGHT)
    return axes


def test_a_waterfall_begins_each_stage_where_the_one_above_ended() -> None:
    axes = axes_of(drawing.Waterfall({"a": {"own": 2.0}, "b": {"codec": 1.0, "own": 1.5}}, "a"))
    boxes = [box for box in axes.patches if box.get_width()]
    assert [(box.get_x(), box.get_width()) for box in boxes] == [(0, 2.0), (2.0, 1.0), (3.0, 1.5)]


def test_tables_stand_in_markdown() -> None:
    text = page.markdown(documents.everything())
    for part in parts.shown(documents.everything()):
        assert f"### {part}" in text
    assert "| 640x480 | 5" in text
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert all(line.endswith("|") for line in rows)


def test_tables_go_between_the_marks_of_a_document(tmp_path: Path) -> None:
    target = tmp_path / "page.md"
    spoken_of = f"Between `{page.BEGIN}` and `{page.END}` it says:"
    target.write_text(f"# Fast\n\n{spoken_of}\n\n{page.BEGIN}\nold\n{page.END}\n\nEnd.\n")
    page.write_markdown(page.markdown(documents.live()), str(target))
    page.write_markdown(page.markdown(documents.live()), str(target))
    text = target.read_text()
    assert text.startswith(f"# Fast\n\n{spoken_of}\n\n")
    assert text.endswith("\n\nEnd.\n")
    assert "old" not in text
    assert text.count("### live") == 1
    target.write_text("no marks")
    with pytest.raises(SinkError, match="no place for tables"):
        page.write_markdown(page.markdown(documents.live()), str(target))
    assert target.read_text() == "no marks"


def test_what_was_kept_is_shown_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kept, html = tmp_path / "kept.json", tmp_path / "kept.html"
    kept.write_text(json.dumps(documents.everything()))
    assert cli.main(["bench", "show", str(kept)]) == 0
    assert "### scale" in capsys.readouterr().out
    assert cli.main(["bench", "show", str(kept), "--html", str(html)]) == 0
    assert capsys.readouterr().out == ""
    assert html.read_text().count("<section") == PARTS


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        (["bench", "live", "--frames", "3"], "there is no flag --frames"),
        (["bench", "engines", "--minutes", "3"], "there is no flag --minutes"),
        (["bench", "live", "--minutes", "0"], "--minutes"),
        (["bench", "compare", "a.json"], "FILE.json"),
        (["bench", "pipeline", "a.json"], "'a.json' is one argument too many"),
    ],
)
def test_flags_without_effect_are_told(asked: list[str], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(asked)
    assert ended.value.code == 2
    assert says in capsys.readouterr().err


def test_pictures_are_drawn_light_and_dark(tmp_path: Path) -> None:
    light, dark = page.write_pngs(documents.live(), tmp_path / "plots")
    brightness = []
    for path in (light, dark):
        with Image.open(path) as picture:
            assert picture.width == round(drawing.WIDTH * drawing.DOTS_PER_INCH)
            brightness.append(picture.convert("L").getpixel((4, 4)))
    assert brightness[0] > 230
    assert brightness[1] < 60


def test_without_matplotlib_nothing_is_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(drawing, "PACKAGES", ("no_such_library",))
    monkeypatch.chdir(tmp_path)
    assert cli.main(["bench"]) == 1
    assert "needs no_such_library: make setup EXTRAS=bench" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_names_beside_points_hide_no_other_names() -> None:
    crowded = [
        drawing.PlotPoint(f"a long name, {index}", 10 + index / 5, 12 + index / 9, on_front=False) for index in range(6)
    ]
    crowded.append(drawing.PlotPoint("untrained", 60.0, None, on_front=False))
    axes = axes_of(drawing.Against(crowded, "ms", "dB"))
    low, high = axes.get_ylim()
    heights = sorted(words.get_position()[1] for words in axes.texts)
    assert len(heights) == len(crowded)
    assert all(after - before > 0.07 * (high - low) for before, after in pairwise(heights))
    assert low <= heights[0]
    assert heights[-1] <= high


def verdicts(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Verdict]:
    return {change.name: change.verdict for change in compared(before, after)}


def test_noise_is_no_change() -> None:
    found = verdicts(documents.pipeline(seed=1), documents.pipeline(seed=11))
    assert set(found.values()) == {Verdict.SAME}


def test_half_the_speed_is_worse_and_half_the_time_better() -> None:
    found = verdicts(documents.pipeline(fps=50), documents.pipeline(fps=25))
    assert found["pipeline/640x480/fps"] is Verdict.WORSE
    assert found["pipeline/640x480/ceiling"] is Verdict.SAME
    slow, fast = documents.live(), documents.live()
    fast["series"][0]["values"] = [value / 2 for value in slow["series"][0]["values"]]
    assert verdicts(slow, fast) == {"live/age": Verdict.BETTER}
    assert verdicts(fast, slow) == {"live/age": Verdict.WORSE}


def test_a_figure_may_be_nothing_at_times() -> None:
    before, after = documents.live(), documents.live()
    for document in (before, after):
        document["series"][0]["values"] = [0.0, 30.0, 30.0, 30.0]
    assert verdicts(before, after) == {"live/age": Verdict.SAME}


def test_measurements_without_a_figure_in_common_are_an_error() -> None:
    with pytest.raises(BenchmarkError, match="no figure in common"):
        compared(documents.live(), documents.pipeline())


def test_another_machine_is_cautioned_of() -> None:
    before, after = documents.pipeline(), documents.pipeline()
    assert page.cautions(before, after) == []
    after["machine"] = {**after["machine"], "processor": "an abacus"}
    (said,) = page.cautions(before, after)
    assert said.endswith("then an abacus")


def test_the_command_tells_and_fails_only_when_asked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    paths = []
    for fps in (50.0, 25.0):
        paths.append(str(tmp_path / f"{fps}.json"))
        (tmp_path / f"{fps}.json").write_text(json.dumps(documents.pipeline(fps=fps)))
    assert cli.main(["bench", "compare", *paths]) == 0
    said = capsys.readouterr().out
    assert "pipeline/640x480/fps " in said
    assert "ceiling" not in said
    assert cli.main(["bench", "compare", *paths, "--fail"]) == 1
    assert cli.main(["bench", "compare", *reversed(paths), "--fail", "--everything"]) == 0
    assert "within noise" in capsys.readouterr().out
    assert cli.main(["bench", "compare", *paths, "--json", "-"]) == 0
    told = {engine["name"]: engine for engine in json.loads(capsys.readouterr().out)}
    assert told["pipeline/640x480/fps"]["verdict"] == "worse"
    assert told["pipeline/640x480/fps"]["factor"] == pytest.approx(0.5, rel=0.01)
    assert cli.main(["bench", "compare", paths[0], paths[0]]) == 0
    assert "nothing changed beyond noise" in capsys.readouterr().out
