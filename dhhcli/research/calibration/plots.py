"""plots: promised and observed probabilities, bin by bin -> picture with one panel for each kind of pair."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from dhhcli.research.calibration.held_out import Bin
from dhhcli.research.drawing import pyplot, write_figure
from dhhcli.research.evaluation.plots import check_picture

TICKS: Final = (0.001, 0.01, 0.1, 0.5, 0.9, 0.99, 0.999)


def plot_reliability(path: Path, bins: Sequence[Bin]) -> None:
    """Predicted against observed on logarithmic odds of the bins, with the number of pairs of one person at each.

    On the diagonal, probabilities are what they say; above it they promise too little, below it too much. A bin where
    nobody was or everybody is at the edge.

    Raises:
        UsageError: the path does not end in .png.
    """
    check_picture(path)
    kinds = list(dict.fromkeys((b.rank, b.kind, b.photos) for b in bins))
    figure, panels = pyplot().subplots(1, max(1, len(kinds)), figsize=(5 * max(1, len(kinds)), 5), squeeze=False)
    least = 1e-4
    for (rank, kind, photos), panel in zip(kinds, panels[0], strict=False):
        panel.plot([least, 1 - least], [least, 1 - least], color="grey", linewidth=0.8)
        own = [b for b in bins if (b.rank, b.kind, b.photos) == (rank, kind, photos)]
        for name in dict.fromkeys(b.weights for b in own):
            x, y, counts = zip(
                *((min(max(b.predicted, least), 1 - least), b.observed, b.same) for b in own if b.weights == name),
                strict=True,
            )
            y = tuple(min(max(value, least), 1 - least) for value in y)
            (line,) = panel.plot(x, y, "o-", markersize=3, linewidth=1, label=name)
            for at, height, count in zip(x, y, counts, strict=True):
                panel.annotate(str(count), (at, height), fontsize=5, color=line.get_color())
        title = f"{rank}: {kind}" if photos == 1 else f"{rank}: {kind}, nearest of {photos}"
        panel.set(title=title, xlabel="predicted", ylabel="observed", xscale="logit", yscale="logit")
        panel.set(xlim=(least / 2, 1 - least / 2), ylim=(least / 2, 1 - least / 2))
        panel.set_xticks(TICKS, [f"{tick:g}" for tick in TICKS], minor=False)
        panel.set_yticks(TICKS, [f"{tick:g}" for tick in TICKS], minor=False)
        panel.minorticks_off()
        panel.legend(fontsize=7, loc="upper left")
    figure.tight_layout()
    write_figure(path, figure)
