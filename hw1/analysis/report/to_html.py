"""A report as one page of HTML that needs nothing else: the figures are interactive."""

import base64
import html
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import plotly.offline
import typst
from markdown_it.token import Token
from markdown_it.tree import SyntaxTreeNode
from markupsafe import Markup

from hw1.analysis.figures.gallery import interactive, page
from hw1.analysis.report.document import Block, Document, parser, plain
from hw1.analysis.report.to_typst import Draw


def to_html(document: Document, draw: Draw) -> str:
    """The page, whose figures are drawn for paper, too; the same report gives the same text."""
    blocks = [*document.main, *document.appendix]
    sections = [block for block in blocks if block.kind == "heading" and block.level == 1]
    walk = _Walk(document, draw)
    return page(
        "report/page.html.jinja",
        document=document,
        sections=[(block.number, plain(block.node)) for block in sections],
        body=Markup("\n".join(map(walk.block, blocks))),
        plotly=Markup(plotly.offline.get_plotlyjs()),
    )


def mathml(compiler: typst.Compiler, equation: str, options: Mapping[str, bool]) -> str:
    """An equation as typst writes it for a browser."""
    # A space within the dollar signs makes an equation stand by itself.
    space = " " if options["display_mode"] else ""
    source = f"${space}{equation.replace(chr(10), ' ')}{space}$"
    compiled = compiler.compile(source.encode(), format="html")
    assert isinstance(compiled, bytes)
    return f"<math{compiled.decode().partition('<math')[2].partition('</math>')[0]}</math>"


def _reference(
    _: Any, tokens: Sequence[Token], i: int, options: Any, numbers: Mapping[str, str]
) -> str:
    key = str(tokens[i].attrs["href"]).removeprefix("#")
    return f'<a href="#{key}">{numbers[key].replace(" ", "&nbsp;")}'


class _Walk:
    def __init__(self, document: Document, draw: Draw) -> None:
        self._numbers, self._figures, self._draw = document.numbers, document.figures, draw
        compiler = typst.Compiler(font_paths=typst.Fonts(include_system_fonts=False))
        self._parser = parser(partial(mathml, compiler))
        self._parser.add_render_rule("link_open", _reference)

    def block(self, block: Block) -> str:
        match block.kind:
            case "heading":
                tag, number = f"h{block.level + 1}", block.number
                inner = self._render(block.node.children)
                return f'<{tag} id="section-{number}">{number}&ensp;{inner}</{tag}>'
            case "table":
                return self._table(block)
            case "figure":
                return self._figure(block)
        return self._render([block.node])

    def _render(self, nodes: Sequence[SyntaxTreeNode]) -> str:
        tokens = [token for node in nodes for token in node.to_tokens()]
        return str(self._parser.renderer.render(tokens, self._parser.options, self._numbers))

    def _caption(self, block: Block, caption: SyntaxTreeNode) -> str:
        number = self._numbers[block.key]
        return f'<span class="label">{number}.</span> {self._render(caption.children)}'

    def _table(self, block: Block) -> str:
        caption, table = block.node.children
        return (
            f'<div class="table{" small" if block.small else ""}" id="{block.key}">\n'
            f'<p class="caption">{self._caption(block, caption)}</p>\n'
            f'<div class="scroll" tabindex="0">{self._render([table])}</div>\n</div>'
        )

    def _figure(self, block: Block) -> str:
        key, figure = block.key, self._figures[block.key]
        still = base64.b64encode(self._draw(figure, *figure.size).encode()).decode()
        image = block.node.children[0].children[0]
        return f"""<figure id="{key}">
{interactive(figure, f"{key}-plot")}
<img class="still" alt="{html.escape(figure.title)}" src="data:image/svg+xml;base64,{still}">
<figcaption>{self._caption(block, image)}</figcaption>
</figure>"""
