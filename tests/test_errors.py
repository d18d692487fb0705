import ast
import re
import unicodedata

import pytest
from conftest import ROOT
from hypothesis import given
from hypothesis import strategies as st

from hw1.errors import InputError, choose, printable

NAMES = ["relu", "leaky_relu", "tanh", "sigmoid"]


@given(st.lists(st.text(), min_size=1, unique=True), st.data())
def test_choose_returns_a_name_that_is_an_option(options: list[str], data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(options))
    assert choose("thing", name, options) == name


@given(st.lists(st.text(), unique=True), st.text())
def test_choose_refuses_every_other_name_and_lists_all_options(
    options: list[str], name: str
) -> None:
    if name in options:
        options = [option for option in options if option != name]
    with pytest.raises(InputError) as caught:
        choose("thing", name, options)
    message = str(caught.value)
    assert message.startswith(f"unknown thing {name!r}: ")
    assert message.endswith(f"choose one of {', '.join(options)}")


@pytest.mark.parametrize(
    ("wrong", "nearest"),
    [("rellu", "relu"), ("leaky-relu", "leaky_relu"), ("sigmoidal", "sigmoid"), ("12345", None)],
)
def test_choose_names_the_nearest_option_if_any_is_near(wrong: str, nearest: str | None) -> None:
    hint = f"did you mean {nearest!r}? " if nearest else ""
    named = re.escape(f"unknown activation {wrong!r}: {hint}choose one of relu, leaky_relu, tanh")
    with pytest.raises(InputError, match=f"^{named}"):
        choose("activation", wrong, iter(NAMES))


HARMLESS = {"\n", "\t"}


@given(st.text(st.characters()))
def test_what_is_printable_says_the_same_and_controls_nothing(text: str) -> None:
    shown = printable(text)
    kinds = {unicodedata.category(c) for c in set(shown) - HARMLESS}
    assert not kinds & {"Cc", "Cs", "Zl", "Zp"}
    assert {unicodedata.bidirectional(c) for c in shown}.isdisjoint(
        {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}
    )
    shown.encode()
    escapes = re.compile(r"\\x[0-9a-f]{2}|\\u[0-9a-f]{4}")
    assert escapes.sub(lambda m: chr(int(m[0][2:], 16)), shown) == escapes.sub(
        lambda m: chr(int(m[0][2:], 16)), text
    )
    assert printable(shown) == shown
    assert not set(printable(text, keep="")) & HARMLESS


def test_ordinary_text_stays_as_it_is() -> None:
    text = "Größe ± 0.5 – 漢字 ▁▂▃ 👍\tand a line\n"
    assert printable(text) == text
    assert printable("a\x1b[2Jb\x9b\u202ec") == "a\\x1b[2Jb\\x9b\\u202ec"


def test_the_command_line_prints_in_no_other_way() -> None:
    """Whatever is added to it: by `echo`, `print_json`, `print_csv` and a `Terminal` alone."""
    own = {"echo", "print_json", "print_csv"}
    files = sorted((ROOT / "hw1" / "cli").glob("*.py"))
    assert files
    for function in (node for file in files for node in ast.walk(ast.parse(file.read_text()))):
        if isinstance(function, ast.FunctionDef) and function.name not in own:
            for node in ast.walk(function):
                written = ast.unparse(node) if isinstance(node, ast.Attribute | ast.Name) else ""
                assert written not in {"typer.echo", "print", "Console", "typer.secho"}
                assert not re.fullmatch(r"(sys|click)\.\w+\.write", written)
