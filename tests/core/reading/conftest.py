"""HTML read back as a browser would: a strict parser that keeps text, styles and tooltips."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest

VOID = {"br", "hr", "img", "input", "meta", "link"}


class Page(HTMLParser):
    """What an output's HTML says.

    Attributes:
        text: all text.
        elements: (tag, attributes, text) of every element, in order of closing.
    """

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.text = ""
        self.elements: list[tuple[str, dict[str, str], str]] = []
        self._open: list[tuple[str, dict[str, str], int]] = []
        self.feed(html)
        self.close()
        assert not self._open, f"never closed: {self._open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag not in VOID | {"script", "style", "iframe", "object"}, f"<{tag}> has no place in an output"
        named = {name: value or "" for name, value in attrs}
        assert not any(name.startswith("on") or name in ("src", "href") for name in named), named
        self._open.append((tag, named, len(self.text)))

    def handle_endtag(self, tag: str) -> None:
        opened, attrs, start = self._open.pop()
        assert opened == tag, f"</{tag}> closes <{opened}>"
        self.elements.append((tag, attrs, self.text[start:]))

    def handle_data(self, data: str) -> None:
        self.text += data

    def titled(self) -> list[tuple[str, str]]:
        """(text, tooltip) of what has one."""
        return [(text, attrs["title"]) for _, attrs, text in self.elements if "title" in attrs]

    def shaded(self) -> list[tuple[str, str]]:
        """(text, style) of what has a warm or cold ground."""
        return [
            (text, attrs["style"])
            for tag, attrs, text in self.elements
            if tag in ("span", "bdi")
            and "background:rgba(" in attrs.get("style", "")
            and "128,128" not in attrs["style"]
        ]


@pytest.fixture(scope="session")
def read_html() -> type[Page]:
    """Parses an output's HTML; fails where it is broken or could load or run something."""
    return Page
