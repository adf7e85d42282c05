"""log: reports of a training (stage, step, losses and figures by name) -> a JSON object a line, and a line of words."""

import json
import os
import time
from pathlib import Path


class Log:
    """One JSON object a report, appended; a line of words back."""

    def __init__(self, path: Path, *, kept: bool = True) -> None:
        self.path, self.kept, self.began = path, kept, time.monotonic()
        if kept and path.is_file():
            data = path.read_bytes()
            whole = data.rfind(b"\n") + 1
            if whole < len(data):  # of a run that was killed while it wrote a report
                os.truncate(path, whole)

    def write(self, stage: str, step: int, steps: int, values: dict[str, float]) -> str:
        """Append a report and put it into words."""
        entry = {
            "stage": stage,
            "step": step,
            "steps": steps,
            "seconds": round(time.monotonic() - self.began, 1),
        }
        if self.kept:  # of several processes, by the first
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(entry | values) + "\n")
        words = ", ".join(f"{key} {value:.4f}" for key, value in values.items())
        return f"{stage} {step}/{steps}: {words}"
