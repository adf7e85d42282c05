"""media/timing/timecode.py against a tape that is counted label by label."""

from fractions import Fraction
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dhhcli.media.timing.timecode import counting_rate, format_timecode, nominal_rate, parse_timecode, source_timecode

NTSC = Fraction(30000, 1001)
FILM = Fraction(24000, 1001)
NTSC_60 = Fraction(60000, 1001)
COUNTINGS = [
    (FILM, False),
    (Fraction(24), False),
    (Fraction(25), False),
    (NTSC, False),
    (NTSC, True),
    (Fraction(50), False),
    (NTSC_60, False),
    (NTSC_60, True),
    (Fraction(60), False),
]
DAY = {(NTSC, True): 2_589_408, (NTSC_60, True): 5_178_816}  # 24 h of dropped labels, SMPTE ST 12-1


def frames_a_day(rate: Fraction, drop: bool) -> int:
    return DAY.get((rate, drop), 86400 * nominal_rate(rate))


@cache
def tape(base: int, drop: bool, minutes: int = 71) -> list[str]:
    """The labels of a tape's first minutes, counted one by one, skipping those that drop-frame leaves out."""
    labels = []
    for minute in range(minutes):
        for second in range(60):
            for frame in range(base):
                if drop and second == 0 and minute % 10 != 0 and frame < (4 if base == 60 else 2):
                    continue
                mark = ";" if drop else ":"
                labels.append(f"{minute // 60:02}:{minute % 60:02}:{second:02}{mark}{frame:02}")
    return labels


@pytest.mark.parametrize(("rate", "drop"), COUNTINGS)
def test_counts_like_a_tape(rate: Fraction, drop: bool) -> None:
    labels = tape(nominal_rate(rate), drop)
    step = 60 * nominal_rate(rate)
    near_minutes = {n for m in range(71) for n in range(m * step - 140, m * step + 5)}
    for number in sorted(near_minutes | set(range(0, len(labels), 997))):
        if 0 <= number < len(labels):
            assert format_timecode(number, rate, drop=drop) == labels[number]
            assert parse_timecode(labels[number], rate) == number


@pytest.mark.parametrize(("rate", "drop"), COUNTINGS)
def test_every_label_comes_back(rate: Fraction, drop: bool) -> None:
    day = frames_a_day(rate, drop)

    @settings(deadline=None, max_examples=150)
    @given(st.integers(0, day - 1))
    def check(number: int) -> None:
        label = format_timecode(number, rate, drop=drop)
        assert parse_timecode(label, rate) == number
        assert format_timecode(number + day, rate, drop=drop) == label  # wraps at 24 hours
        assert format_timecode(number + 3 * day, rate, drop=drop) == label

    check()


@pytest.mark.parametrize(("rate", "drop"), COUNTINGS)
def test_a_day_ends_and_begins_again(rate: Fraction, drop: bool) -> None:
    day, mark = frames_a_day(rate, drop), ";" if drop else ":"
    last = f"23:59:59{mark}{nominal_rate(rate) - 1:02}"
    assert format_timecode(day - 1, rate, drop=drop) == last
    assert parse_timecode(last, rate) == day - 1
    assert format_timecode(day, rate, drop=drop) == f"00:00:00{mark}00"


def test_an_hour_at_29_97() -> None:
    assert format_timecode(107892, NTSC) == "00:59:56:12"
    assert format_timecode(107892, NTSC, drop=True) == "01:00:00;00"
    assert format_timecode(1799, NTSC, drop=True) == "00:00:59;29"
    assert format_timecode(1800, NTSC, drop=True) == "00:01:00;02"
    assert format_timecode(17982, NTSC, drop=True) == "00:10:00;00"
    assert format_timecode(3600, NTSC_60, drop=True) == "00:01:00;04"


@settings(deadline=None, max_examples=200)
@given(st.integers(0, 2_589_407))
def test_drop_frame_labels_keep_up_with_the_clock(number: int) -> None:
    hours, minutes, rest = format_timecode(number, NTSC, drop=True).split(":")
    seconds, frames = rest.split(";")
    label = Fraction(int(hours) * 3600 + int(minutes) * 60 + int(seconds)) + Fraction(int(frames), 30)
    assert abs(label - number / NTSC) < Fraction(16, 100)


def test_nominal_rates() -> None:
    assert [nominal_rate(rate) for rate, _ in COUNTINGS] == [24, 24, 25, 30, 30, 50, 60, 60, 60]
    assert nominal_rate(Fraction(1, 5)) == 1


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("", NTSC),
        ("hello", NTSC),
        ("1:00:00:00", NTSC),
        ("01:00:00", NTSC),
        ("-1:00:00:00", NTSC),
        ("00:00:00:30", NTSC),
        ("00:00:00:25", Fraction(25)),
        ("00:60:00:00", NTSC),
        ("00:00:60:00", NTSC),
        ("24:00:00:00", NTSC),
        ("00:01:00;00", NTSC),
        ("00:01:00;01", NTSC),
        ("01:59:00;03", NTSC_60),
    ],
)
def test_refuses_labels_that_do_not_exist(text: str, rate: Fraction) -> None:
    with pytest.raises(ValueError, match=r"timecode|exist|dropped"):
        parse_timecode(text, rate)


def test_accepts_the_labels_beside_the_dropped_ones() -> None:
    assert parse_timecode("00:01:00;02", NTSC) == 1800
    assert parse_timecode("00:10:00;00", NTSC) == 17982
    assert parse_timecode("00:01:00:00", NTSC) == 1800
    assert parse_timecode(" 01:00:00.00 ", NTSC) == 107892  # some tools write drop-frame with a point


def test_rates_without_drop_frame_drop_nothing() -> None:
    """A file may carry ';' at 25 frames a second; there are no labels to leave out."""
    assert parse_timecode("00:01:00;00", Fraction(25)) == 1500
    assert format_timecode(1500, Fraction(25), drop=True) == "00:01:00;00"


@pytest.mark.parametrize(("rate", "drop"), COUNTINGS)
@pytest.mark.parametrize("start", [None, "01:00:00:00", "10:11:12:13", "23:59:59:00"])
def test_source_timecode_counts_on_from_the_start(rate: Fraction, drop: bool, start: str | None) -> None:
    if start and drop:
        start = f"{start[:8]};{start[9:]}"
    first = parse_timecode(start, rate) if start else 0
    for number in (0, 1, 29, 1799, 1800, 17982, 107892):
        expected = format_timecode(first + number, rate, drop=drop)
        assert source_timecode(number / rate, rate, start, drop=drop) == expected


def test_source_timecode_rounds_to_the_nearest_frame() -> None:
    """Containers round time stamps, to milliseconds in Matroska."""
    for number in range(0, 5000, 7):
        stamp = Fraction(round(number / NTSC * 1000), 1000)
        assert source_timecode(stamp, NTSC) == format_timecode(number, NTSC)


def test_past_midnight_it_wraps() -> None:
    assert source_timecode(Fraction(2), Fraction(25), "23:59:59:00") == "00:00:01:00"


@pytest.mark.parametrize("start", ["", "garbage", "99:99:99:99", "00:00:00:77", "\x00\x01"])
def test_a_start_that_is_no_timecode_counts_from_zero(start: str) -> None:
    assert source_timecode(Fraction(1), Fraction(25), start) == "00:00:01:00"


def test_an_unknown_rate_gives_milliseconds() -> None:
    assert source_timecode(Fraction(3723004, 1000), None) == "01:02:03.004"
    assert source_timecode(Fraction(1, 3), None, "01:00:00:00") == "00:00:00.333"
    assert source_timecode(Fraction(59_999_6, 10_000), None) == "00:01:00.000"
    assert source_timecode(Fraction(2), Fraction(0)) == "00:00:02.000"


@pytest.mark.parametrize(
    ("rate", "counted"),
    [
        (Fraction(24000, 1001), Fraction(24000, 1001)),
        (Fraction(2997, 100), Fraction(30000, 1001)),
        (Fraction(25), Fraction(25)),
        (Fraction(15), Fraction(15)),
        (Fraction(29831, 1000), Fraction(30)),
        (Fraction(2937, 100), Fraction(30)),
        (Fraction(2437, 100), Fraction(24)),
        (Fraction(1233, 100), Fraction(12)),
    ],
)
def test_labels_of_variable_rates_are_counted_at_a_usual_rate(rate: Fraction, counted: Fraction) -> None:
    assert counting_rate(rate) == counted


def test_a_variable_rate_follows_the_clock_for_hours() -> None:
    average = Fraction(29831, 1000)
    assert source_timecode(Fraction(3 * 3600), average) == "03:00:00:00"
    assert source_timecode(Fraction(3 * 3600) + Fraction(1, 2), average, "01:00:00:00") == "04:00:00:15"
