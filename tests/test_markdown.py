"""Hostile names in Markdown and HTML, as another reader sees them."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest
from jinja2 import ChainableUndefined, Environment, PackageLoader
from markdown_it import MarkdownIt
from matplotlib.figure import Figure

from benchmarks.packed import info_of
from sphreg.comparison_tables import Table
from sphreg.config import RotationTraining
from sphreg.errors import UserError
from sphreg.figures import svg
from sphreg.info import SPLITS, Counts
from sphreg.markdown import Markup, code, escape, table
from sphreg.model import ModelConfig
from sphreg.modelcard import card
from sphreg.page.highlights import _line
from sphreg.page.pictures import Picture
from sphreg.readme import filled

ROOT = Path(__file__).parents[1]
NAMES = [
    "chair",
    "night_stand",
    "<!-- table -->",
    "<!-- /table -->",
    "<img src=x onerror=alert(1)>",
    "</td></table><script>alert(1)</script>",
    "](http://evil) [a](b) ![c](d)",
    "a|b||c\\|d\\",
    "**bold** _it_ __x__ _a_b_ *",
    "`code` ``more`` ```",
    "&lt;b&gt; &copy; &#60;",
    "~~gone~~ $x^2$ \\alpha <http://a.b>",
    "# heading",
    "- item",
    "1. item",
    "| --- |",
]
UNSHOWN = {"a\nb\r\n# c": "a b # c", "\x1b[31m\u202e\udcff\0": r"\x1b[31m\u202e\udcff\x00"}


def parsed(text: str) -> list:
    return MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"]).parse(text)


def cells(text: str) -> list[list[str]]:
    """The texts of a table, which have to be plain, bold or code."""
    rows: list[list[str]] = []
    tokens = parsed(text)
    assert (tokens[0].type, tokens[-1].type) == ("table_open", "table_close")
    assert sum(token.type == "table_open" for token in tokens) == 1
    for token in tokens:
        if token.type == "tr_open":
            rows.append([])
        elif token.type == "inline":
            kinds = {child.type for child in token.children}
            assert kinds <= {"text", "text_special", "code_inline", "strong_open", "strong_close"}, token.content
            rows[-1].append("".join(child.content for child in token.children))
    return rows


@pytest.mark.parametrize("name", [*NAMES, *UNSHOWN])
class TestNames:
    def test_in_a_sentence_and_in_emphasis(self, name: str) -> None:
        for before, after in ("It shows ", "."), ("*It shows ", "*"), ("**It shows ", ".**"):
            _, line, _ = parsed(f"{before}{escape(name)}{after}")
            marks = {"text", "text_special", "em_open", "em_close", "strong_open", "strong_close"}
            assert {child.type for child in line.children} <= marks
            text = "".join(child.content for child in line.children)
            assert text == f"It shows {UNSHOWN.get(name, name)}{after.strip('*')}"

    def test_in_tables(self, name: str) -> None:
        shown = UNSHOWN.get(name, name)
        text = table([name, "b"], [[name, 1234], ["a", Markup(f"**{escape(name)}**")]])
        assert cells(text) == [[shown, "b"], [shown, "1,234"], ["a", shown]]
        if "\n" in name:  # which `Table` takes for the end of a part
            return
        frame = pd.DataFrame({"head": [name], "median (°)": ["1.5\n[1, 2]"], "remark": [name]})
        text = Table(name, frame, frozenset([(0, 1)])).markdown
        assert cells(text) == [[shown, "median (°)", "remark"], [shown, "1.5 [1, 2]", shown]]
        assert "**1.5 [1, 2]**" in text

    def test_as_code(self, name: str) -> None:
        shown = UNSHOWN.get(name, name)
        _, line, _ = parsed(f"It is {code(name)}.")
        assert [child.content for child in line.children if child.type == "code_inline"] == [shown]
        assert "".join(child.content for child in line.children) == f"It is {shown}."
        if "\\|" not in name:  # which no cell can show as code
            assert cells(table(["a"], [[code(name)]])) == [["a"], [shown]]

    def test_in_the_text_of_a_picture(self, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("sphreg.page.highlights.png", lambda _: b"")
        text = _line([Picture("a", Figure(), f"Of {name}.", f"Of {name}. Best.")], tmp_path)
        _, first, _, _, second, _ = parsed(text)
        (image,) = first.children
        assert "".join(child.content for child in image.children) == f"Of {UNSHOWN.get(name, name)}. Best."
        assert "".join(child.content for child in second.children) == f"Of {UNSHOWN.get(name, name)}."

    def test_in_a_readme(self, name: str) -> None:
        document = "a <!-- table -->\n<!-- /table --> b"
        once = filled(document, "table", table(["head"], [[name]]))
        assert filled(once, "table", table(["head"], [[name]])) == once
        start, part, end = re.split("\n\n", once)
        assert (start, end) == ("a <!-- table -->", "<!-- /table --> b")
        assert cells(part) == [["head"], [UNSHOWN.get(name, name)]]

    def test_in_the_card_of_a_model(self, name: str) -> None:
        counts = {split: {name: Counts(meshes=1, views=2, normals=0)} for split in SPLITS}
        names = {"source": name, "categories": [name], "counts": counts, "engine": {"engine": name}}
        info = info_of(["chair"], 8).model_copy(update=names)  # as some names are none of a dataset
        train = RotationTraining.model_construct(validation=0.03, weights=name, per_category=True)
        config = ModelConfig.model_construct(
            task="rotation", head="sexp", seed=0, head_settings={}, categories=[name], train=train, size=8
        )
        text = card(config, f"models/{name}", "last", info, {name: {"median_deg": 1.0}, "macro": {"median_deg": 2.0}})
        tokens = parsed(text)
        assert not [token for token in tokens if token.type == "html_block"]
        assert sum(token.type == "table_open" for token in tokens) == 3
        kinds = {child.type for token in tokens for child in token.children or []}
        assert kinds <= {"text", "text_special", "code_inline", "softbreak"}
        firsts = [token.children for place, token in enumerate(tokens) if tokens[place - 2].type == "tr_open"]
        shown = ["".join(child.content for child in children) for children in firsts]
        assert shown.count(UNSHOWN.get(name, name)) == 2  # among the meshes, and the metrics


def test_the_code_of_a_card_holds_any_name() -> None:
    for name in NAMES:
        fence = f"```python\nmodel.predict({json.dumps(name)})\n```"
        (block,) = parsed(fence)
        assert block.content == f"model.predict({json.dumps(name)})\n"


@pytest.mark.parametrize("part", ["<!-- table -->", "a <!-- /table --> b", "<!-- card -->"])
def test_a_part_with_a_marker_is_refused(part: str) -> None:
    with pytest.raises(UserError, match=r"the part table holds the marker <!-- /?[a-z]+ -->"):
        filled("<!-- table --><!-- /table -->", "table", part)


class Tags(HTMLParser):
    """The tags of a page with their attributes, and its comments."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.comments: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_comment(self, data: str) -> None:
        self.comments.append(data)


@pytest.mark.parametrize("name", NAMES)
def test_in_the_page(name: str) -> None:
    def page(name: str) -> Tags:
        shown = Table(name, pd.DataFrame({"head": [name], name or "a": [name]}))
        view = {"image": b"", "predicted": b"", "key": name, "error_deg": 1.0, "signs": True}
        gallery = {"head": name, "seed": 0, "rows": {name: {"best": [view]}}}
        part = {"name": "rotation", "notes": [name], "tables": [shown], "galleries": [gallery]}
        environment = Environment(
            loader=PackageLoader("sphreg.page", "."), autoescape=True, undefined=ChainableUndefined
        )
        environment.filters |= {"number": str, "data_uri": str}
        given = {"parts": [part], "heads": [name], "data": name, "facts": [(name, name)], "ranks": ["best"]}
        tables = dict.fromkeys(["overview", "counts", "commands", "settings", "versions"], shown)
        page = environment.get_template("template.html").render(**given, **tables, command=name, reading=[name])
        return Tags(page)

    found, ordinary = page(name), page("chair")
    assert [tag for tag, _ in found.found] == [tag for tag, _ in ordinary.found]
    assert [attributes.keys() for _, attributes in found.found] == [keys.keys() for _, keys in ordinary.found]
    assert found.comments == []


@pytest.mark.parametrize("name", ["<!-- a --> --> <script>", "_under", "$x$", "</svg><img src=x>"])
def test_in_a_figure(name: str) -> None:
    figure = Figure()
    axes = figure.subplots()
    axes.plot([0, 1], label=f"sexp ({name})")
    axes.set_title(name)
    axes.set_xticks([0], [name])
    axes.legend()
    tags = Tags(svg(figure, "a"))
    assert tags.comments == []
    assert {tag for tag, _ in tags.found} <= {"svg", "defs", "style", "g", "path", "use", "clippath", "rect"}


def committed() -> list[list[str]]:
    """Each table that this project has written for git, by its lines."""
    files = [*(ROOT / "metrics").rglob("*.md")]
    texts = [file.read_text(encoding="utf-8") for file in files]
    return [found.splitlines() for text in texts for found in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE)]


@pytest.mark.parametrize("lines", committed(), ids=lambda lines: lines[0][:30])
def test_ordinary_names_stay_as_they_are(lines: list[str]) -> None:
    shown = cells("\n".join(lines))
    numeric = [mark.endswith(":") for mark in lines[1].strip("| ").split(" | ")]
    raw = [re.split(r"(?<!\\) \| ", line[2:-2]) for line in lines]
    rows = [
        [Markup(raw[place + bool(place)][i]) if numeric[i] and place else cell for i, cell in enumerate(row)]
        for place, row in enumerate(shown)
    ]
    assert table(rows[0], rows[1:], numeric).splitlines() == lines


@pytest.mark.parametrize("name", ["teaser", "figures"])
def test_ordinary_captions_stay_as_they_are(name: str) -> None:
    text = (ROOT / f"metrics/heads/{name}.md").read_text(encoding="utf-8")
    found = re.findall(r"!\[(.*?)\]\(", text) + re.findall(r"^\*(.*)\*$", text, re.MULTILINE)
    assert found and [escape(words) for words in found] == found
