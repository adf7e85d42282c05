"""plots: results of an evaluation -> picture of their precision-recall curves, one panel a direction."""

from collections.abc import Sequence
from pathlib import Path

from dhhcli.errors import UsageError
from dhhcli.research.drawing import pyplot, write_figure
from dhhcli.research.evaluation.tasks import Result

STYLES = ("-", "--", ":", "-.")  # ten colours each


def check_picture(path: Path) -> None:
    """Raises UsageError unless the path ends in .png: said before anything is computed."""
    if path.suffix.lower() != ".png":
        raise UsageError(f"{path}: curves are written as PNG; name a file that ends in .png")


def plot_curves(path: Path, results: Sequence[Result]) -> None:
    """Draw every result's expected precision over expected recall, list length by list length."""
    check_picture(path)
    ways = list(dict.fromkeys((r.line.query, r.line.database) for r in results))
    columns = min(3, max(1, len(ways)))
    rows = max(1, -(-len(ways) // columns))
    lines = max((sum((r.line.query, r.line.database) == way for r in results) for way in ways), default=0)
    height = max(4.5, 0.16 * lines + 1)  # inches; so that the legend, a line a curve, stays beside its panel
    figure, panels = pyplot().subplots(rows, columns, figsize=(7 * columns, height * rows), squeeze=False)
    for panel in panels.flat[len(ways) :]:
        panel.set_visible(False)
    for way, panel in zip(ways, panels.flat, strict=False):
        for result in results:
            line = result.line
            if (line.query, line.database) == way:
                name = f"{line.weights} {line.representation}"
                drawn = len(panel.lines)
                look = {"color": f"C{drawn % 10}", "linestyle": STYLES[drawn // 10 % len(STYLES)]}
                label = f"{name} {line.mean_ap:.3f}"
                panel.plot(result.curve.recall, result.curve.precision, label=label, **look)
        panel.set(title=f"{way[0]} → {way[1]}", xlabel="recall", ylabel="precision", xlim=(0, 1), ylim=(0, 1.02))
        panel.legend(fontsize=7, loc="upper left", bbox_to_anchor=(1, 1), title="mAP", title_fontsize=7)
    figure.tight_layout()
    write_figure(path, figure)
