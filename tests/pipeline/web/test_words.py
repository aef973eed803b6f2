"""The languages of the page: each has every sentence, and no other."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[3] / "pipeline/web/page"
LANGUAGES = ("de", "fr", "es", "zh", "ja")
EMPTY = ("meta", "link", "input", "img", "br")
"""Elements that have no end."""


class Sentences(HTMLParser):
    """What a document says in words of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self._foreign: list[bool] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        foreign = given.get("translate") == "no" or tag in ("title", "noscript") or any(self._foreign)
        if not foreign:
            self.found += [text for name in ("aria-label", "alt") if (text := given.get(name))]
        if tag not in EMPTY:
            self._foreign.append(foreign)

    def handle_endtag(self, tag: str) -> None:
        if tag not in EMPTY:
            self._foreign.pop()

    def handle_data(self, data: str) -> None:
        text = " ".join(data.split())
        if text and not any(self._foreign):
            self.found.append(text)


def sentences() -> set[str]:
    """All sentences of the page, in English."""
    found: set[str] = set()
    for path in PAGE.glob("*.html"):
        document = Sentences()
        document.feed(path.read_text(encoding="utf-8"))
        found.update(document.found)
    for path in PAGE.glob("*.js"):
        calls = re.findall(r'\bt\(((?:[^()"]|"[^"]*")*)', path.read_text(encoding="utf-8"))
        found.update(text for call in calls for text in re.findall(r'"([^"]*)"', call))
    return found


def test_the_sentences_are_found() -> None:
    """In documents, in the names of controls, and in scripts, a choice between two included."""
    assert {"Start the camera", "Divider between original and result", "Invented", "Pause"} <= sentences()


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_language_has_every_sentence(language: str) -> None:
    words = json.loads((PAGE / f"{language}.json").read_text(encoding="utf-8"))
    assert set(words) == sentences()
    assert all(text.strip() for text in words.values())
    for english, text in words.items():
        assert set(re.findall(r"\{\w+\}", english)) == set(re.findall(r"\{\w+\}", text)), english
        assert english.count("`") == text.count("`"), english


def test_every_language_can_be_chosen() -> None:
    chosen = re.findall(r'<option value="(\w+)" lang', (PAGE / "index.html").read_text(encoding="utf-8"))
    assert chosen == ["en", *LANGUAGES]
    assert {path.stem for path in PAGE.glob("*.json")} == set(LANGUAGES)
