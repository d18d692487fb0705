"""What plotly's properties say, in matplotlib's terms: colours, text, numbers, templates."""

import html
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.colors import Colormap, LinearSegmentedColormap, to_rgba
from matplotlib.typing import ColorType

from hw1.words import SUPERSCRIPTS

Properties = dict[str, Any]
"""Plotly's properties as plain dictionaries, the template's already among them."""

_RGB = re.compile(r"rgba?\(([^)]*)\)")
_D3_FORMAT = re.compile(r"([+]?)(,?)(?:\.(\d+))?(~?)([fegd%]?)")


def merged(*layers: Mapping[str, Any]) -> Properties:
    """One dictionary of several, nested ones too; what a later one says counts."""
    result: Properties = {}
    for layer in layers:
        for key, value in layer.items():
            if isinstance(value, Mapping):
                before = result.get(key)
                result[key] = merged(before if isinstance(before, Mapping) else {}, value)
            elif value is not None:
                result[key] = value
    return result


def colour(value: Any, opacity: float = 1.0) -> tuple[float, float, float, float]:
    """A colour of plotly's as red, green, blue and opacity in [0, 1].

    Raises:
        ValueError: a colour that is neither hexadecimal, named, ``rgb()`` nor ``rgba()``.
    """
    match = _RGB.fullmatch(str(value).strip())
    if match:
        parts = [float(part) for part in match[1].split(",")]
        red, green, blue = (part / 255 for part in parts[:3])
        return red, green, blue, (parts[3] if len(parts) > 3 else 1.0) * opacity
    red, green, blue, alpha = to_rgba("none" if value == "transparent" else value)
    return red, green, blue, alpha * opacity


def colour_map(scale: Sequence[Sequence[Any]], reverse: bool = False) -> Colormap:
    """A colour scale ``[(position, colour), ...]`` of plotly's."""
    stops = [(float(position), colour(value)) for position, value in scale]
    cmap = LinearSegmentedColormap.from_list("plotly", stops, N=1021)
    return cmap.reversed() if reverse else cmap


def readable_on(background: ColorType) -> str:
    """Black or white, whichever has more contrast (https://www.w3.org/TR/WCAG21/, 1.4.3)."""
    channels = np.array(to_rgba(background)[:3])
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    luminance = float(linear @ [0.2126, 0.7152, 0.0722])
    return "#000000" if (luminance + 0.05) ** 2 > 1.05 * 0.05 else "#FFFFFF"


def plain(text: Any) -> str:
    """Text without the HTML that plotly understands; powers stay, as raised digits."""
    text = re.sub(r"<br\s*/?>", "\n", "" if text is None else str(text))
    text = re.sub(r"<sup>(.*?)</sup>", lambda match: match[1].translate(SUPERSCRIPTS), text)
    return html.unescape(re.sub(r"</?[a-z]+[^<>]*>", "", text))


def font(properties: Mapping[str, Any], text: Any = "") -> Properties:
    """The keywords of a matplotlib text in a font of plotly's, bold if ``<b>`` encloses it."""
    bold = str(text).startswith("<b>") and str(text).endswith("</b>")
    weight = properties.get("weight", "normal")
    return {
        "fontsize": properties["size"],
        "color": colour(properties["color"]),
        "fontweight": "bold" if bold else weight,
        "fontstyle": properties.get("style", "normal"),
    }


def format_number(value: float, pattern: str) -> str:
    """A number in a d3 format, such as ``".2f"``, ``",d"``, ``".0%"`` or ``".3g"``.

    Raises:
        NotImplementedError: a format of another kind (https://d3js.org/d3-format).
    """
    match = _D3_FORMAT.fullmatch(pattern)
    if match is None:
        raise NotImplementedError(f"the number format {pattern!r} is not supported in SVG")
    sign, comma, precision, trim, kind = match.groups()
    if kind == "d":
        precision, kind = "0", "f"
    text = f"{value:{sign}{comma}{'.' + precision if precision else ''}{kind}}"
    if trim and "." in text:
        number, unit = (text[:-1], "%") if kind == "%" else (text, "")
        text = number.rstrip("0").rstrip(".") + unit
    return text.replace("-", "−")


def filled(template: str, values: Mapping[str, Any]) -> str:
    """A ``texttemplate`` such as ``"%{z:.2f}"`` with its variables filled in.

    Raises:
        NotImplementedError: it holds a variable that ``values`` lacks.
    """

    def fill(match: re.Match[str]) -> str:
        name, _, pattern = match[1].partition(":")
        if name not in values:
            raise NotImplementedError(f"%{{{name}}} in a texttemplate is not supported in SVG")
        value = values[name]
        return format_number(float(value), pattern) if pattern else str(value)

    return re.sub(r"%\{([^}]*)\}", fill, template)


def items(values: Any) -> list[Any]:
    """A property that holds one value per point, as a list; empty if there is none."""
    return [] if values is None else list(values)


def floats(values: Any) -> np.ndarray:
    """Numbers as float64, NaN where there is none."""
    array = np.asarray(values)
    if array.dtype == object or array.dtype.kind in "US":
        array = np.array([np.nan if v is None else float(v) for v in array.ravel()]).reshape(
            array.shape
        )
    return array.astype(np.float64)
