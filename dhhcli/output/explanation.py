"""explanation: Explanation -> lines for the terminal, or one JSON object; what moved a hit to its rank."""

import dataclasses
import json
from collections.abc import Iterator

import numpy as np

from dhhcli.base.text import counted, one_line
from dhhcli.output.terminal.console import write_bytes
from dhhcli.search.explain import UNSURE, Explanation

BARS = 40  # letters of the longest
LINES = 16  # of the histogram, at most


TURNED = 0.25  # of the distance of the eyes, from which a face counts as turned; in profile it is 0.5 and more
BLURRED = 30  # sharpness below which a face is said to be blurred
SMALL = 40  # pixels


def in_words(why: Explanation) -> Iterator[str]:
    """The reason as a person would give it, without numbers of bits."""
    total = int(why.histogram.sum())
    sure = f"{why.likely}: " if why.likely else ""
    if why.number is not None:
        closest = f"closest to {why.photo}, your {_ordinal(why.number)} of {why.photos} photos"
    else:
        closest = f"closest to {why.photo}"
    yield f"{sure}{closest}"
    looks = [f"{why.face_px:.0f} pixels high{' (small)' if why.face_px < SMALL else ''}"]
    if why.turn is not None:
        looks.append("turned" if why.turn >= TURNED else "seen from in front")
    if why.sharpness < BLURRED:
        looks.append("blurred")
    where = "in a photo" if why.still else f"best of {why.crops_used} looks"
    yield f"the face is {', '.join(looks)}; {where}"
    if why.nearer == 0:
        yield f"of {counted(total, 'face')} in these codes none is nearer{_next(why)}"
    else:
        nearer = f"{why.nearer} {'is' if why.nearer == 1 else 'are'} nearer"
        yield f"of {counted(total, 'face')} in these codes {nearer}{_next(why)}"


def _next(why: Explanation) -> str:
    """How far the first face is that is likely somebody else's."""
    limit = dict(why.limits).get("unsure", -1)
    if limit < 0 and why.stands_out is not None:
        limit = why.stands_out
    if limit < why.distance:
        return ""
    others = np.flatnonzero(why.histogram[int(limit) + 1 :])
    if not len(others):
        return "; there is nobody else"
    gap = int(limit) + 1 + int(others[0]) - why.distance
    return f"; the next person is {'far' if gap * 8 >= why.bits else 'not far'}"


def _ordinal(number: int) -> str:
    ends = {1: "st", 2: "nd", 3: "rd"}
    return f"{number}{'th' if number % 100 in (11, 12, 13) else ends.get(number % 10, 'th')}"


def explained(why: Explanation) -> Iterator[str]:
    """Lines without their newline."""
    total = int(why.histogram.sum())
    if why.by_frames:
        by = why.by_frames
        yield (
            f"hit {why.rank}: the {by.way} distance of its {by.frames} frames is {by.distance:g} bits "
            f"({by.least} to {by.most}); what follows is about the code of the track, the majority of theirs"
        )
    yield f"hit {why.rank}: {why.distance} of {why.bits} bits differ; strangers' codes differ in about {why.bits // 2}"
    yield f"tracks nearer than this one: {why.nearer} of {total}"
    if why.by_soft:
        yield (
            f"ranked by how sure {why.photo} is of the bits that differ: they weigh {why.by_soft.distance:.2f} of "
            f"{why.bits}; tracks of less: {why.by_soft.nearer} of {total}"
        )
    if why.limits:
        words = ", ".join(f"{word} up to {bits:g}" if bits >= 0 else f"{word} nowhere" for word, bits in why.limits)
        of = "of that weight" if why.by_soft else "with a usual soft score"
        yield f"thresholds, bits: {words} (by the weights' calibration; {of})"
    else:
        yield "thresholds: none, the weights are not calibrated"
    if why.stands_out is None:
        yield f"of this codes file: too few tracks ({total}) to tell which distance stands out"
    elif why.stands_out < 0:
        yield "of this codes file: no distance stands out"
    else:
        side = "within" if why.distance <= why.stands_out else "beyond"
        yield (
            f"of this codes file: {why.stands_out} bits stand out; of {total} strangers less than one is as near; "
            f"this hit is {side}"
        )
    yield (
        f"asked with {why.photo}: {why.unsure} of its {why.bits} bits are unsure (within {UNSURE} of 0.5), "
        f"{why.unsure_differing} of the {why.distance} that differ"
    )
    bits = " ".join(f"{bit} ({soft:.2f})" for bit, soft in why.differing)
    yield f"bits that differ, the surest first: {bits or 'none'}"
    yield (
        f"{'face in a photo' if why.still else f'face seen from {why.first_seen} to {why.last_seen}'}; "
        f"crops used: {why.crops_used}; "
        f"best one: {why.face_px:.0f} pixels, score {why.score:.2f}, sharpness {why.sharpness:.0f}"
    )
    if why.changed is None:
        yield f"crops: {why.why_no_crops}"
    else:
        same = "they give the stored code" if not why.changed else f"their code differs in {why.changed} bits"
        yield f"crops cut again from the {'photo' if why.still else 'video'}: {len(why.crops)}; {same}"
    yield "distances of all tracks:"
    yield from _bars(why)


def json_object(why: Explanation) -> str:
    """Everything but the crops themselves."""
    return json.dumps(
        {
            "rank": why.rank,
            "words": list(in_words(why)),
            "distance": why.distance,
            "bits": why.bits,
            "photo": why.photo,
            "nearer": why.nearer,
            "limits": dict(why.limits),
            "stands_out": why.stands_out,
            "differing": [{"bit": bit, "soft": round(soft, 4)} for bit, soft in why.differing],
            "unsure": why.unsure,
            "unsure_differing": why.unsure_differing,
            "first_seen": why.first_seen,
            "last_seen": why.last_seen,
            "crops_used": why.crops_used,
            "face_px": round(why.face_px, 1),
            "score": round(why.score, 3),
            "sharpness": round(why.sharpness, 1),
            "crops_again": len(why.crops),
            "changed": why.changed,
            "histogram": why.histogram.tolist(),
            "by_frames": why.by_frames and dataclasses.asdict(why.by_frames),
            "by_soft": why.by_soft and dataclasses.asdict(why.by_soft),
        }
    )


def print_explanation(why: Explanation, *, as_json: bool) -> None:
    """On stdout."""
    lines = [json_object(why)] if as_json else [*in_words(why), "", *explained(why)]
    write_bytes("".join(f"{one_line(line)}\n" for line in lines).encode())


def _bars(why: Explanation) -> Iterator[str]:
    """The histogram in steps of equal width, from the nearest track to the farthest."""
    there = np.flatnonzero(why.histogram)
    if not len(there):
        return
    low, high = int(there[0]), int(there[-1])
    width = -(-(high - low + 1) // LINES)
    counts = [int(why.histogram[start : start + width].sum()) for start in range(low, high + 1, width)]
    digits = len(str(high + width))
    for number, count in enumerate(counts):
        start = low + number * width
        last = start + width - 1
        name = f"{start:{digits}}" if width == 1 else f"{start:{digits}}-{last:<{digits}}"
        bar = "#" * max(count > 0, round(BARS * count / max(counts)))
        marks = "  <- this hit" if start <= why.distance <= last else ""
        if why.stands_out is not None and start <= why.stands_out <= last:
            marks += "  <- threshold"
        yield f"  {name} {bar} {count}{marks}".rstrip()
