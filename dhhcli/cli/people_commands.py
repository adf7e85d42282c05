"""people_commands: codes file -> who is in it, and the names that they are given: people, name."""

from pathlib import Path
from typing import Annotated

import typer

from dhhcli.cli.options import Json, WeightsName, Wide, finite
from dhhcli.errors import UsageError
from dhhcli.output.formats import LogFormat


def people(
    codes: Annotated[Path, typer.Argument(envvar="DHH_CODES", help="Codes file made by encode.")] = Path("codes.h5"),
    min_tracks: Annotated[int, typer.Option(min=1, help="Show only people with so many tracks, and named ones.")] = 1,
    together: Annotated[
        bool, typer.Option("--together", help="Who shares shots with whom, instead of people.")
    ] = False,
    sheet: Annotated[
        Path | None, typer.Option("--sheet", help="Also write their faces: a page (.html), or a picture (.png, .jpg).")
    ] = None,
    show: Annotated[bool, typer.Option("--open", help="Open the sheet.")] = False,
    within: Annotated[
        float | None,
        typer.Option(
            min=0,
            callback=finite,
            help="Bits that tracks of one person may be apart on average; default: by the calibration.",
        ),
    ] = None,
    json: Json = False,
    wide: Wide = False,
    weights: WeightsName = None,
) -> None:
    """Group the tracks of a codes file by who they show: unknown people get a number, most screen time first."""
    from dhhcli.output.console import print_notes
    from dhhcli.output.inventory import print_lines
    from dhhcli.people.identities import find_people

    if sheet or show:
        from dhhcli.output.sheets.contact_sheet import check_sheet, show_sheet

        check_sheet(sheet, show=show)
    found = find_people(codes, min_tracks=min_tracks, within=within, weights=weights, faces=sheet is not None)
    print_notes(found.notes)
    if sheet:
        from dhhcli.output.sheets.people_sheet import write_cast

        write_cast(sheet, found)
        if show:
            print_notes(show_sheet(sheet))
    print_lines(found.together if together else found.people, as_json=json, wide=wide)
    raise typer.Exit(0 if found.people else 3)


def log(
    codes: Annotated[Path, typer.Argument(envvar="DHH_CODES", help="Codes file made by encode.")] = Path("codes.h5"),
    format: Annotated[
        LogFormat | None,
        typer.Option(
            "--format",
            "-f",
            help="csv: a row a person in a shot; ale: Avid, a line a shot, a file a frame rate; xmp: a sidecar a video "
            "into the folder of --out; json: an object a shot. Default: as the suffix of --out says, else csv.",
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="File to write, for xmp a folder. - or none: standard output.")
    ] = None,
    within: Annotated[float | None, typer.Option(min=0, callback=finite, help="As for dhh people.")] = None,
    weights: WeightsName = None,
) -> None:
    """Log the footage: who is in every shot, first and last frame, screen time, source timecode and reel."""
    from dhhcli.output.console import print_notes, write_bytes
    from dhhcli.output.delivery import shown
    from dhhcli.output.footage_log import log_files, wished_log, write_log
    from dhhcli.people.footage_log import footage_log

    if out is not None and str(out) == "-":
        out = None
    wanted = wished_log(format, out)
    if wanted is LogFormat.xmp and out is None:
        raise UsageError("--format xmp writes a sidecar a video: name a folder with --out")
    videos, notes = footage_log(codes, within=within, weights=weights)
    print_notes(notes)
    files = log_files(videos, wanted)
    if out is not None and files:
        print_notes(write_log(files, wanted, out))
    elif len(files) > 1:
        raise UsageError(f"--format {wanted} makes {len(files)} files, one a frame rate; name one with --out")
    elif files:
        write_bytes(shown(files[0].data()))
    raise typer.Exit(0 if any(shot.people for video in videos for shot in video.shots) else 3)


def name(
    codes: Annotated[Path, typer.Argument(help="Codes file made by encode.")],
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[WHO] NAME", help="A number of dhh people, or a name to change; then the name to give."
        ),
    ] = None,
    track: Annotated[
        list[str] | None,
        typer.Option("--track", metavar="TRACK", help="Name this track (or track_id) instead of a person; repeatable."),
    ] = None,
    remove: Annotated[
        str | None, typer.Option("--remove", metavar="NAME", help="Take this name away; with --track, from tracks.")
    ] = None,
    within: Annotated[float | None, typer.Option(min=0, callback=finite, help="As it was for dhh people.")] = None,
    json: Json = False,
    wide: Wide = False,
    weights: WeightsName = None,
) -> None:
    """Give people of a codes file names to ask for; without a name, list those that there are."""
    from dhhcli.output.console import print_notes
    from dhhcli.output.inventory import print_lines
    from dhhcli.people.naming import give_name, list_names, take_name

    given = words or []
    if remove is not None:
        if given:
            raise UsageError("--remove takes a name away; give no other")
        print_notes(take_name(codes, remove, tracks=track or ()))
    elif given or track:
        if len(given) > 2 or not given:
            raise UsageError("say whom to name and how: dhh name CODES 3 'Ada Lovelace'")
        who = given[0] if len(given) == 2 else None
        print_notes(give_name(codes, who, given[-1], tracks=track or (), within=within, weights=weights))
    else:
        listed = list_names(codes)
        print_lines(listed, as_json=json, wide=wide)
        if not listed:
            print_notes(
                [f"{codes}: nobody is named; say dhh name {codes} 1 'Ada Lovelace' with a number of dhh people"]
            )
        raise typer.Exit(0 if listed else 3)
