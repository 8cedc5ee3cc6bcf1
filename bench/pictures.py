"""The ground that plots are drawn on, and how they get into a PNG.

It is opaque and light, so that a plot reads on light pages and on dark ones.
"""

from io import BytesIO
from typing import Final

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

WIDTH_INCHES: Final = 8.0
DOTS_PER_INCH: Final = 160  # 1280 wide: twice what a README shows
COLOURS: Final = 96  # in the file: enough for smooth letters, and a third of the size
GROUND, INK, FAINT, EVENT = "#fbfbfa", "#30363d", "#d8dee4", "#b3261e"
OURS, THEIRS = "#0b63c5", "#8c959f"
LINES: Final = (
    *("#0b63c5", "#e08a00", "#2a8c4a", "#8250df"),
    *("#c2343a", "#1b8a94", "#9a6a00", "#6e7781"),
)


def png(drawing: Figure) -> bytes:
    """Render, and keep no more colours than there are to see."""
    drawn, out = BytesIO(), BytesIO()
    drawing.savefig(drawn, format="png")
    Image.open(drawn).convert("RGB").quantize(COLOURS).save(out, "PNG", optimize=True)
    return out.getvalue()


def figure(title: str, inches: float, panels: int = 1) -> tuple[Figure, list[Axes]]:
    """Make a picture with panels one above the other that share their x axis."""
    made = Figure(
        figsize=(WIDTH_INCHES, inches), dpi=DOTS_PER_INCH, facecolor=GROUND, layout="constrained"
    )
    axes = [made.add_subplot(panels, 1, 1)]
    axes += [made.add_subplot(panels, 1, n, sharex=axes[0]) for n in range(2, panels + 1)]
    axes[0].set_title(title, loc="left", fontsize=11, fontweight="bold", color=INK)
    for each in axes:
        each.set_facecolor(GROUND)
        each.tick_params(colors=INK, labelsize=9, length=0)
        each.xaxis.label.set_color(INK)
        each.yaxis.label.set_color(INK)
        each.grid(color=FAINT, linewidth=0.7)
        each.set_axisbelow(True)
        for side in ("top", "right", "left"):
            each.spines[side].set_visible(False)
        each.spines["bottom"].set_color(THEIRS)
    return made, axes
