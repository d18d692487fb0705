import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from analysis.report.reading import Page, squeezed

from hw1.analysis.figures.gallery import Gallery, interactive, read, write
from hw1.analysis.figures.layout import grid
from hw1.analysis.figures.marks import Axis, Figure, Line, Panel
from hw1.analysis.figures.matplotlib import svg
from hw1.analysis.figures.plotly import draw
from hw1.analysis.figures.stored import to_json
from hw1.analysis.figures.style import BLUE
from hw1.errors import InputError


def make(name: str, caption: str = "What to see.", **attributes: Any) -> Figure:
    line = Line([1, 2, 3], [4, 5, 6], BLUE, attributes.pop("line", ""))
    panel = Panel((line,), Axis("x", (1.0, 3.0)), Axis("y", (4.0, 6.0)))
    return Figure(name, f"The title of {name}", caption, (panel,), **attributes)


def of(*figures: Figure) -> Gallery:
    return Gallery("tiny", (3,), {"a": figures})


def page_of(path: Path) -> Page:
    return Page(path.read_text(encoding="utf-8"))


@pytest.fixture
def gallery() -> Gallery:
    sections = {
        "The search": [make("one", caption="0.5 < 0.7 & more"), make("two")],
        "Nothing": [],
        "The evaluation": [make("three", width=520, height=460)],
    }
    return Gallery("tiny", (3, 5), sections)


def test_every_figure_has_a_page_and_an_svg_and_needs_no_network(
    tmp_path: Path, gallery: Gallery
) -> None:
    folder = write(gallery, tmp_path / "new" / "figures", "The study", ["First.", "Second."]).parent
    names = ["one", "two", "three"]
    files = {"index.html", "figures.json", "plotly.min.js"}
    files |= {*(f"{n}.{e}" for n in names for e in ("html", "svg"))}
    assert {path.name for path in folder.iterdir()} == files
    for name in names:
        assert ElementTree.parse(folder / f"{name}.svg").getroot().tag.endswith("svg")
        page = page_of(folder / f"{name}.html")
        (block,) = page.plots
        assert block["plot"] == f"plot-{name}" and block["plot"] in page.ids
    for path in folder.glob("*.html"):
        page = page_of(path)
        assert "//" not in re.sub(r"<script>.*?</script>", "", page.source, flags=re.DOTALL)
        for link in page.links:
            assert link.removeprefix("#") in page.ids or (folder / link).is_file()
    assert (folder / "plotly.min.js").stat().st_size > 1e6


def test_the_index_shows_everything(tmp_path: Path, gallery: Gallery) -> None:
    page = page_of(write(gallery, tmp_path, "The study <1>", ["Tom & Jerry."]))
    for text in (
        "The study <1>",
        "Tom & Jerry.",
        "0.5 < 0.7 & more",
        "The title of two",
        "The evaluation",
    ):
        assert squeezed(text) in page.text
    assert "Nothing" not in page.text
    assert [block["plot"] for block in page.plots] == ["plot-one", "plot-two", "plot-three"]
    figures = [*gallery.sections["The search"], *gallery.sections["The evaluation"]]
    for block, figure in zip(page.plots, figures, strict=True):
        plot = {"data": block["data"], "layout": block["layout"]}
        assert plot == json.loads(draw(figure).to_json())
    assert {"one.svg", "two.html", "#section-1"} <= set(page.links)
    assert len(set(page.ids)) == len(page.ids)


def test_the_same_figures_give_the_same_files(tmp_path: Path, gallery: Gallery) -> None:
    first, second = (write(gallery, tmp_path / n, "The study").parent for n in "ab")
    write(gallery, second, "The study")  # again over the old ones
    for path in first.iterdir():
        assert path.read_bytes() == (second / path.name).read_bytes(), path.name


def test_text_in_a_figure_does_not_end_the_script(tmp_path: Path) -> None:
    figure = make("one", line="</script><script>alert(1)</script>")
    page = page_of(write(of(figure), tmp_path, "t"))
    (block,) = page.plots
    name = block["data"][0]["name"]
    assert name == "&lt;/script&gt;&lt;script&gt;alert(1)&lt;/script&gt;"


def test_plots_side_by_side_keep_their_width_on_a_narrow_screen() -> None:
    """Of panels one above the other some may be hidden."""
    x, y = Axis("", (0.0, 1.0)), Axis("", (0.0, 1.0))
    hidden = replace(x, visible=False)
    for axes, places, width in (
        ([hidden] * 3 + [x] * 3, grid(2, 3), 690),
        ([x] * 3 + [hidden] * 3, grid(2, 3), 690),
        ([x], grid(1, 1), 300),
    ):
        panels = [Panel((), axis, y, place) for axis, place in zip(axes, places, strict=True)]
        assert f"min-width: {width}px" in interactive(Figure("name", "t", "c", panels), "id")


def test_two_figures_of_one_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="different names"):
        write(of(make("one"), make("one")), tmp_path, "t")


def test_a_folder_that_cannot_be_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="choose another folder"):
        write(of(make("one")), tmp_path / "file" / "figures", "t")


def test_figures_are_read_as_they_were_written(tmp_path: Path, gallery: Gallery) -> None:
    assert read(tmp_path) == Gallery()
    write(gallery, tmp_path)
    found = read(tmp_path)
    assert (found.study, found.trials) == ("tiny", (3, 5))
    assert list(found.sections) == ["The search", "The evaluation"]
    for heading, figures in found.sections.items():
        for figure, written in zip(figures, gallery.sections[heading], strict=True):
            assert to_json(figure) == to_json(written)
            assert svg(figure) == svg(written)
    manifest = tmp_path / "figures.json"
    manifest.write_text(manifest.read_text()[:-100])
    with pytest.raises(InputError, match="analyze the study again"):
        read(tmp_path)


def test_figures_of_an_earlier_version_are_as_if_there_were_none(tmp_path: Path) -> None:
    plot = {"data": [{"type": "bar", "y": [1]}], "layout": {}}
    old = {"All": [{"name": "one", "title": "t", "caption": "c", "plot": plot}]}
    (tmp_path / "figures.json").write_text(json.dumps(old))
    assert read(tmp_path) == Gallery()


@pytest.mark.parametrize(
    "change",
    [
        {"name": '"><script>'},
        {"name": 3},
        {"kind": "Popen"},
        {"kind": "Line"},
        {"width": "wide"},
        {"panels": [1]},
        {"panels": {"dtype": "object", "shape": [1], "data": "gA=="}},
        {"more": 1},
    ],
)
def test_what_is_no_figure_is_damaged(change: dict[str, Any], tmp_path: Path) -> None:
    write(of(make("one")), tmp_path)
    manifest = tmp_path / "figures.json"
    stored = json.loads(manifest.read_text())
    stored["sections"]["a"][0] |= change
    manifest.write_text(json.dumps(stored))
    with pytest.raises(InputError, match="damaged"):
        read(tmp_path)
