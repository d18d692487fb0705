import pytest
from hypothesis import given
from hypothesis import strategies as st
from jinja2 import nodes

from hw1.analysis.report.document import blocks_of, plain
from hw1.analysis.report.render import TEMPLATE, clean, environment, escaped, listed, name


@given(st.text())
def test_clean_text_is_one_line_that_xml_and_utf8_can_hold(text: str) -> None:
    found = clean(text)
    found.encode()
    assert len(found) == len(text)
    assert not any(ord(c) < 32 or c in "\ufffe\uffff\u202e\u2028\x7f" for c in found)
    assert clean(found) == found


MARKUP = [
    "*a* _b_ **c** `d` ~e~ [f](#g) ![h](i) <b>j</b> <http://k> &lt; $x^2$ [^l] \\* \\",
    "1. list",
    "1) list",
    "- list",
    "+ list",
    "# heading",
    "> quote",
    "    code",
    "```",
    "::: moved tables",
    "===",
    "---",
    "| a | b |",
    "$$",
    "[^x]: y",
    "{{ 1 + 1 }} {% if %} {# #}",
    "it's 5",
]


@pytest.mark.parametrize(
    "template", ["{}", "a\n{}\nb", "- {}", "| a | b |\n|--|--|\n| {} | `{}` |"]
)
@pytest.mark.parametrize("text", MARKUP)
def test_text_from_data_is_never_markup(template: str, text: str) -> None:
    assert_shown(template, text)


@given(st.text(min_size=1))
def test_no_text_is_markup(text: str) -> None:
    assert_shown("a {} b", text)
    assert_shown("{}", text)


def assert_shown(template: str, text: str) -> None:
    """Text has the blocks of the letter x, and stands where x would."""

    def read(shown: str) -> tuple[list[str], str]:
        blocks = blocks_of(template.replace("{}", shown))
        types = [node.type for block in blocks for node in block.node.walk()]
        return types, "".join("".join(plain(block.node) for block in blocks).split())

    blocks, words = read("x")
    expected = words.replace("x", "".join(clean(text).split()))
    assert read(str(escaped(text))) == (blocks, expected)


def test_values_are_escaped_wherever_the_template_prints_them() -> None:
    found = environment()
    source = "{% macro m(a) %}**{{ a }}**{% endmacro %}{{ m(x) }} {{ [x, x]|listed }} {{ x|name }}"
    assert found.from_string(source).render(x="*y*") == (
        "**&#42;y&#42;** &#42;y&#42; and &#42;y&#42; `&#42;y&#42;`"
    )


def test_the_template_joins_no_texts_itself() -> None:
    """What Jinja2 joins it escapes as HTML, which is not enough for Markdown."""
    found = environment()
    source, _, _ = found.loader.get_source(found, TEMPLATE)
    tree = found.parse(source)
    assert not list(tree.find_all((nodes.Concat, nodes.Mod)))
    # Equations are typst's code: nothing is printed in them.
    equations = [part for i, part in enumerate(source.split("$")) if i % 2]
    assert equations and not any("{{" in equation for equation in equations)


def test_lists_and_names_are_cut() -> None:
    assert listed(["a"]) == "a"
    assert listed(["a", "b", "c"]) == "a, b and c"
    assert listed(list("abcdef"), 3) == "a, b and 4 more"
    short = str(name("x" * 30 + "y" * 30))
    assert len(short) < 40 and short.startswith("`xxx") and short.endswith("yyy`")
