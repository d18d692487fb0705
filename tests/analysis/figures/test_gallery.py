import json
import re
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import plotly.graph_objects as go
import pytest
from plotly.subplots import make_subplots

from hw1.analysis.figures.gallery import read, write
from hw1.analysis.figures.style import TEMPLATE, Figure
from hw1.analysis.figures.svg import to_svg
from hw1.errors import InputError


def make(name: str, caption: str = "What to see.", **layout: object) -> Figure:
    plot = go.Figure(go.Scatter(x=[1, 2, 3], y=[4, 5, 6]), {"template": TEMPLATE, **layout})
    return Figure(name, f"The title of {name}", caption, plot)


class Page(HTMLParser):
    """The elements, links and JSON of a page."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.text = ""
        self.blocks: list[dict[str, object]] = []
        self._plot: str | None = None
        self.source = path.read_text(encoding="utf-8")
        self.feed(self.source)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.ids += [values["id"] or ""] if "id" in values else []
        self.links += [values[key] or "" for key in ("href", "src") if key in values]
        self._plot = values.get("data-plot")

    def handle_endtag(self, tag: str) -> None:
        self._plot = None

    def handle_data(self, data: str) -> None:
        if self._plot:
            self.blocks.append({"plot": self._plot, **json.loads(data)})
        else:
            self.text += data


@pytest.fixture
def sections() -> dict[str, list[Figure]]:
    return {
        "The search": [make("one", caption="0.5 < 0.7 & more"), make("two")],
        "Nothing": [],
        "The evaluation": [make("three", width=520, height=460)],
    }


def test_every_figure_has_a_page_and_an_svg(
    tmp_path: Path, sections: dict[str, list[Figure]]
) -> None:
    index = write(sections, tmp_path / "new" / "figures", "The study", ["First.", "Second."])
    folder = index.parent
    names = ["one", "two", "three"]
    files = {"index.html", "figures.json", "plotly.min.js"}
    files |= {*(f"{n}.{e}" for n in names for e in ("html", "svg"))}
    assert {path.name for path in folder.iterdir()} == files
    for name in names:
        assert ElementTree.parse(folder / f"{name}.svg").getroot().tag.endswith("svg")
        page = Page(folder / f"{name}.html")
        (block,) = page.blocks
        assert block["plot"] == f"plot-{name}"
        assert block["plot"] in page.ids


def test_the_index_shows_everything(tmp_path: Path, sections: dict[str, list[Figure]]) -> None:
    page = Page(write(sections, tmp_path, "The study <1>", ["Tom & Jerry."]))
    for text in (
        "The study <1>",
        "Tom & Jerry.",
        "0.5 < 0.7 & more",
        "The title of two",
        "The evaluation",
    ):
        assert text in page.text
    assert "Nothing" not in page.text
    assert [block["plot"] for block in page.blocks] == ["plot-one", "plot-two", "plot-three"]
    figures = [*sections["The search"], *sections["The evaluation"]]
    for block, figure in zip(page.blocks, figures, strict=True):
        plot = {"data": block["data"], "layout": block["layout"]}
        assert plot == json.loads(figure.plot.to_json())
    assert {"one.svg", "two.html", "#section-1"} <= set(page.links)
    assert len(set(page.ids)) == len(page.ids)


def test_the_pages_need_no_network_and_link_to_nothing_that_is_not_there(
    tmp_path: Path, sections: dict[str, list[Figure]]
) -> None:
    folder = write(sections, tmp_path, "The study").parent
    for path in folder.glob("*.html"):
        page = Page(path)
        assert "//" not in re.sub(r"<script>.*?</script>", "", page.source, flags=re.DOTALL)
        for link in page.links:
            assert link.removeprefix("#") in page.ids or (folder / link).is_file()
    assert (folder / "plotly.min.js").stat().st_size > 1e6


def test_the_same_figures_give_the_same_files(
    tmp_path: Path, sections: dict[str, list[Figure]]
) -> None:
    first, second = (write(sections, tmp_path / n, "The study").parent for n in "ab")
    write(sections, second, "The study")  # again over the old ones
    for path in first.iterdir():
        assert path.read_bytes() == (second / path.name).read_bytes(), path.name


def test_text_in_a_figure_does_not_end_the_script(tmp_path: Path) -> None:
    figure = make("one", title_text="</script><script>alert(1)</script>")
    page = Page(write({"a": [figure]}, tmp_path, "t"))
    (block,) = page.blocks
    assert block["layout"]["title"]["text"] == figure.plot.layout.title.text  # type: ignore[index]


def test_plots_beside_each_other_keep_their_width_on_a_narrow_screen(tmp_path: Path) -> None:
    wide = Figure("wide", "t", "c", make_subplots(2, 3))
    source = Page(write({"a": [make("one"), wide]}, tmp_path, "t")).source
    least = {
        match[1]: int(match[2])
        for match in re.finditer(r'id="plot-(\w+)" style="[^"]*min-width: (\d+)px', source)
    }
    assert least["one"] <= 340
    assert least["wide"] > 600


def test_two_figures_of_one_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="different names"):
        write({"a": [make("one")], "b": [make("one")]}, tmp_path, "t")


def test_a_folder_that_cannot_be_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="choose another folder"):
        write({"a": [make("one")]}, tmp_path / "file" / "figures", "t")


def test_figures_are_read_as_they_were_written(
    tmp_path: Path, sections: dict[str, list[Figure]]
) -> None:
    assert read(tmp_path) == {}
    write(sections, tmp_path, "The study")
    found = read(tmp_path)
    assert list(found) == ["The search", "The evaluation"]
    for heading, figures in found.items():
        for figure, written in zip(figures, sections[heading], strict=True):
            assert figure.plot == written.plot
            for name in ("name", "title", "caption"):
                assert getattr(figure, name) == getattr(written, name)
    manifest = tmp_path / "figures.json"
    manifest.write_text(manifest.read_text()[:-100])
    with pytest.raises(InputError, match="analyze the study again"):
        read(tmp_path)


def test_arrays_are_read_as_arrays(tmp_path: Path) -> None:
    plot = go.Figure(layout={"template": TEMPLATE})
    plot.add_heatmap(z=np.arange(6.0).reshape(2, 3))
    plot.add_scatter(x=np.arange(3), y=np.array([0.5, 1.5, 2.5]))
    write({"All": [Figure("arrays", "Arrays", "Caption.", plot)]}, tmp_path, "The study")
    (found,) = read(tmp_path)["All"]
    heatmap, scatter = found.plot.data
    assert np.array(heatmap.z).tolist() == [[0, 1, 2], [3, 4, 5]]
    assert np.array(scatter.y).tolist() == [0.5, 1.5, 2.5]
    assert to_svg(found.plot, "Arrays") == (tmp_path / "arrays.svg").read_text()
