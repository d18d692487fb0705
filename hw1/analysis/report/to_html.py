"""A report as one page of HTML that needs nothing else: the figures are interactive."""

import base64
import html
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

import plotly.offline
import typst
from jinja2 import Environment, PackageLoader, StrictUndefined
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token
from markupsafe import Markup

from hw1.analysis.figures.gallery import SCRIPT, interactive
from hw1.analysis.figures.style import BLUE, FONT_FAMILIES, GRID, INK, MUTED
from hw1.analysis.report.document import Block, Document, parser
from hw1.analysis.report.figures import Drawings, size

PAGE = "page.html.jinja"


def to_html(document: Document, drawings: Drawings) -> str:
    """The page; the same report gives the same text."""
    blocks = [*document.main, *document.appendix]
    walk = _Walk(document, drawings)
    environment = Environment(
        loader=PackageLoader("hw1.analysis.report", "."),
        undefined=StrictUndefined,
        autoescape=True,
        trim_blocks=True,
    )
    return environment.get_template(PAGE).render(
        title=document.title,
        author=document.author,
        day=document.day,
        sections=[(b.number, b.title) for b in blocks if b.kind == "heading" and b.level == 1],
        body=Markup("\n".join(map(walk.block, blocks))),
        plotly=Markup(plotly.offline.get_plotlyjs()),
        script=Markup(SCRIPT),
        fonts=Markup(", ".join(map(repr, FONT_FAMILIES))),
        blue=BLUE,
        grid=GRID,
        ink=INK,
        muted=MUTED,
    )


def equations_of(tokens: Sequence[Token]) -> Iterator[str]:
    """The equations of a report, as they are written."""
    for token in tokens:
        if token.type in ("math_inline", "math_block"):
            yield token.content
        yield from equations_of(token.children or ())


def mathml(equations: Sequence[str]) -> dict[str, str]:
    """Equations as typst writes them for a browser."""
    found: dict[str, str] = {}
    if equations:
        # A space within the dollar signs makes an equation stand by itself.
        source = "\n\n".join(f"${text.replace(chr(10), ' ')}$" for text in equations)
        page = typst.compile(source.encode(), format="html")
        assert isinstance(page, bytes)
        parts = page.decode().split("<math")[1:]
        for text, part in zip(equations, parts, strict=True):
            found[text] = f"<math{part.partition('</math>')[0]}</math>"
    return found


class _Walk:
    def __init__(self, document: Document, drawings: Drawings) -> None:
        self._numbers, self._drawings = document.numbers, drawings
        blocks = [*document.main, *document.appendix]
        tokens = [token for block in blocks for token in block.tokens]
        self._math = mathml(list(dict.fromkeys(equations_of(tokens))))
        markdown = parser()
        self._options = markdown.options
        self._renderer = cast(RendererHTML, markdown.renderer)
        rules: dict[str, Any] = {
            "code_inline": lambda token: f"<code>{_text(html.unescape(token.content))}</code>",
            "math_inline": lambda token: self._math[token.content],
            "math_block": lambda token: self._math[token.content],
            "link_open": self._reference,
            "footnote_ref": self._citation,
            "footnote_anchor": lambda token: "",
            "footnote_block_open": lambda token: '<ol class="references">',
            "footnote_block_close": lambda token: "</ol>",
            "footnote_open": self._cited,
        }
        for name, rule in rules.items():
            self._renderer.rules[name] = _rule(rule)

    def block(self, block: Block) -> str:
        match block.kind:
            case "heading":
                inner = self._render(block.tokens[1:2])
                tag = f"h{block.level + 1}"
                number = block.number
                return f'<{tag} id="section-{number}">{number}&ensp;{inner}</{tag}>'
            case "table":
                return self._table(block)
            case "figure":
                return self._figure(block)
        return self._render(block.tokens)

    def _render(self, tokens: Sequence[Token]) -> str:
        return self._renderer.render(tokens, self._options, {})

    def _reference(self, token: Token) -> str:
        key = str(token.attrs["href"]).removeprefix("#")
        return f'<a href="#{key}">{self._numbers[key].replace(" ", "&nbsp;")}'

    def _citation(self, token: Token) -> str:
        number = token.meta["id"] + 1
        return f'<a href="#reference-{number}">[{number}]</a>'

    def _cited(self, token: Token) -> str:
        number = token.meta["id"] + 1
        return f'<li id="reference-{number}" value="{number}">'

    def _label(self, block: Block) -> str:
        return f'<span class="label">{self._numbers[block.key]}.</span>'

    def _table(self, block: Block) -> str:
        caption = self._render(block.tokens[2:3])
        return (
            f'<div class="table{" small" if block.small else ""}" id="{block.key}">\n'
            f'<p class="caption">{self._label(block)} {caption}</p>\n'
            f'<div class="scroll" tabindex="0">{self._render(block.tokens[4:-1])}</div>\n</div>'
        )

    def _figure(self, block: Block) -> str:
        key, figure = block.key, self._drawings.figures[block.key]
        image = (block.tokens[1].children or [])[0]
        caption = self._renderer.renderInline(image.children or [], self._options, {})
        still = base64.b64encode(self._drawings.svg(key, *size(figure)).encode()).decode()
        return f"""<figure id="{key}">
{interactive(figure, f"{key}-plot")}
<img class="still" alt="{_text(figure.title)}" src="data:image/svg+xml;base64,{still}">
<figcaption>{self._label(block)} {caption}</figcaption>
</figure>"""


def _text(text: str) -> str:
    return html.escape(text)


def _rule(rule: Any) -> Any:
    def render(tokens: Sequence[Token], i: int, options: Any, env: Mapping[str, Any]) -> str:
        return str(rule(tokens[i]))

    return render
