"""plot: log.jsonl of a training run -> picture of its losses and validation figures."""

import json
from pathlib import Path

from dhhcli.research.drawing import pyplot, write_figure

FEW = 30  # points of a line that are shown beside it


def plot_log(log: Path, picture: Path) -> None:
    """One panel a stage: losses on the left axis, mean average precision on the right."""
    entries = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    stages = list(dict.fromkeys(entry["stage"] for entry in entries))
    figure, panels = pyplot().subplots(1, max(1, len(stages)), figsize=(5 * max(1, len(stages)), 4), squeeze=False)
    for stage, panel in zip(stages, panels[0], strict=False):
        own = [entry for entry in entries if entry["stage"] == stage]
        right = panel.twinx()
        names = [k for k in dict.fromkeys(k for e in own for k in e) if k not in ("stage", "step", "steps", "seconds")]
        for name in names:
            points = [(entry["step"], entry[name]) for entry in own if name in entry]
            axis, style = (right, "--") if name.startswith("map_") else (panel, "-")
            dots = "o" if len(points) < FEW else None  # a line of one point is none
            axis.plot(*zip(*points, strict=True), style, marker=dots, markersize=3, label=name)
        panel.set(title=stage, xlabel="step", ylabel="loss")
        right.set(ylabel="validation mAP", ylim=(0, 1))
        for axis, place in ((panel, "upper right"), (right, "lower right")):
            if axis.get_legend_handles_labels()[0]:
                axis.legend(loc=place, fontsize=7)
    figure.tight_layout()
    write_figure(picture, figure)
