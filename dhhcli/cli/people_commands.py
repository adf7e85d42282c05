"""people_commands: codes file -> who is in it, and what is said about them: people, name, merge, split, not, undo."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dhhcli.cli.completion import names_beside
from dhhcli.cli.options import FacesOption, Json, WeightsName, Wide, finite
from dhhcli.errors import UsageError
from dhhcli.output.formats import LogFormat

if TYPE_CHECKING:
    from dhhcli.people.regrouping import Change

CodesFile = Annotated[Path, typer.Argument(envvar="DHH_CODES", help="Codes file made by encode.")]
Within = Annotated[
    float | None,
    typer.Option(
        min=0,
        callback=finite,
        help="Bits that tracks of one person may be apart on average, where they are grouped now; default: by the "
        "calibration.",
    ),
]
Tracks = Annotated[
    list[str] | None, typer.Option("--track", metavar="TRACK", help="A track_id, or the number of a track; repeatable.")
]


def people(
    codes: CodesFile = Path("codes.h5"),
    min_tracks: Annotated[int, typer.Option(min=1, help="Show only people with so many tracks, and named ones.")] = 1,
    together: Annotated[
        bool, typer.Option("--together", help="Who shares shots with whom, instead of people.")
    ] = False,
    sheet: Annotated[
        Path | None, typer.Option("--sheet", help="Also write their faces: a page (.html), or a picture (.png, .jpg).")
    ] = None,
    show: Annotated[bool, typer.Option("--open", help="Open the sheet.")] = False,
    suggest: Annotated[
        bool, typer.Option("--suggest", help="Names for people who have none: who they look like, or their folder's.")
    ] = False,
    again: Annotated[
        bool, typer.Option("--again", help="Group all tracks anew; says what would change, and asks.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="With --again: do not ask.")] = False,
    within: Within = None,
    json: Json = False,
    wide: Wide = False,
    faces: FacesOption = None,
    weights: WeightsName = None,
) -> None:
    """Group the tracks of a codes file by who they show: everybody has a number that stays, most screen time first."""
    from dhhcli.output.inventory import print_lines
    from dhhcli.output.terminal.console import print_notes
    from dhhcli.output.terminal.pictures import may_show
    from dhhcli.output.terminal.waiting import grouping_words, waiting
    from dhhcli.people.identities import find_people, grouping_takes

    if yes and not again:
        raise UsageError("--yes goes with --again")
    if faces and (json or together or suggest or again):
        raise UsageError("--faces are small pictures below the table of people; leave the other option out")
    if again:
        if together or sheet or show or suggest:
            raise UsageError("--again says what changes; ask for people or a sheet after it")
        raise typer.Exit(_again(codes, within, weights, yes=yes, as_json=json))
    if suggest:
        from dhhcli.people.suggesting import suggestions

        if together or sheet or show:
            raise UsageError("--suggest lists names that people may have; ask for people or a sheet after it")
        offered = suggestions(codes, within=within, weights=weights)
        print_lines(offered, as_json=json)
        if not offered:
            print_notes([f"{codes}: nobody without a name looks like somebody with one"])
        raise typer.Exit(0 if offered else 3)
    if sheet or show:
        from dhhcli.output.sheets.contact_sheet import check_sheet, show_sheet

        check_sheet(sheet, show=show)
    shown = not (json or together) and (faces or may_show(wanted=faces))
    with waiting(grouping_words(codes, grouping_takes(codes))):
        found = find_people(codes, min_tracks=min_tracks, within=within, weights=weights, faces=bool(sheet or shown))
    print_notes(found.notes)
    if sheet:
        from dhhcli.output.sheets.people_sheet import write_cast

        write_cast(sheet, found)
        if show:
            print_notes(show_sheet(sheet))
    print_lines(found.together if together else found.people, as_json=json, wide=wide)
    if shown:
        from dhhcli.output.terminal.faces import show_faces

        print_notes(show_faces(found.portraits, wanted=faces))
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
    from dhhcli.output.delivery import shown
    from dhhcli.output.footage_log import log_files, wished_log, write_log
    from dhhcli.output.terminal.console import print_notes, write_bytes
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


def _again(codes: Path, within: float | None, weights: str | None, *, yes: bool, as_json: bool) -> int:
    from dhhcli.output.inventory import print_lines
    from dhhcli.output.terminal.console import print_notes
    from dhhcli.people.regrouping import group_again

    def ask(changes: "Sequence[Change]") -> bool:
        print_lines(changes, as_json=as_json)
        return yes or (sys.stdin.isatty() and typer.confirm("Group them so?", err=True))

    changes, done = group_again(codes, ask=ask, within=within, weights=weights)
    if not changes:
        print_notes([f"{codes}: the same people as before"])
    else:
        print_notes(
            [
                f"{codes}: done; dhh people undo takes it back"
                if done
                else f"{codes}: nothing was changed; --yes does it"
            ]
        )
    return 0 if changes else 3


def merge_people(
    codes: CodesFile,
    who: Annotated[list[str], typer.Argument(metavar="WHO...", help="Numbers of dhh people, or names.")],
    within: Within = None,
    weights: WeightsName = None,
) -> None:
    """Say that two people or more are one, who has the number of the first."""
    from dhhcli.output.terminal.console import print_notes
    from dhhcli.people.deciding import merge_people as merged

    print_notes(merged(codes, who, within=within, weights=weights).words)


def split_person(
    codes: CodesFile,
    who: Annotated[str, typer.Argument(help="A number of dhh people, or a name.")],
    track: Tracks = None,
    within: Within = None,
    weights: WeightsName = None,
) -> None:
    """Say that some tracks of a person are somebody else; without --track: the half that is least like the other."""
    from dhhcli.output.terminal.console import print_notes
    from dhhcli.people.deciding import split_person as split

    print_notes(split(codes, who, tracks=track or (), within=within, weights=weights).words)


def reject_tracks(
    codes: CodesFile,
    who: Annotated[str, typer.Argument(help="A number of dhh people, or a name.")],
    track: Annotated[list[str], typer.Argument(metavar="TRACK...", help="A track_id, or the number of a track.")],
    within: Within = None,
    weights: WeightsName = None,
) -> None:
    """Say that tracks are not this person; they never come back."""
    from dhhcli.output.terminal.console import print_notes
    from dhhcli.people.deciding import reject_tracks as reject

    print_notes(reject(codes, who, track, within=within, weights=weights).words)


def undo_people(codes: CodesFile = Path("codes.h5")) -> None:
    """Take back what was said last about people: a name, merge, split, not or --again."""
    from dhhcli.output.terminal.console import print_notes
    from dhhcli.people.deciding import undo

    print_notes(undo(codes).words)


def name(
    codes: CodesFile,
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[WHO...] NAME",
            help="A number of dhh people, or several, who are one then, or a name to change; then the name to give.",
            autocompletion=names_beside,
        ),
    ] = None,
    track: Annotated[
        list[str] | None,
        typer.Option("--track", metavar="TRACK", help="Name this track (or track_id) instead of a person; repeatable."),
    ] = None,
    remove: Annotated[
        str | None,
        typer.Option(
            "--remove",
            metavar="NAME",
            help="Take this name away; with --track, from tracks.",
            autocompletion=names_beside,
        ),
    ] = None,
    within: Within = None,
    json: Json = False,
    wide: Wide = False,
    weights: WeightsName = None,
) -> None:
    """Give people of a codes file names to ask for; without a name, list those that there are."""
    from dhhcli.output.inventory import print_lines
    from dhhcli.output.terminal.console import print_notes
    from dhhcli.people.naming import give_name, list_names, take_name

    given = words or []
    if remove is not None:
        if given:
            raise UsageError("--remove takes a name away; give no other")
        print_notes(take_name(codes, remove, tracks=track or ()))
    elif given or track:
        if not given or (len(given) > 2 and not all(word.isdecimal() for word in given[:-1])):
            raise UsageError("say whom to name and how: dhh name CODES 3 'Ada Lovelace'")
        who = given[0] if len(given) == 2 else given[:-1] or None
        print_notes(give_name(codes, who, given[-1], tracks=track or (), within=within, weights=weights))
    else:
        listed = list_names(codes)
        print_lines(listed, as_json=json, wide=wide)
        if not listed:
            print_notes(
                [f"{codes}: nobody is named; say dhh name {codes} 1 'Ada Lovelace' with a number of dhh people"]
            )
        raise typer.Exit(0 if listed else 3)


def review(
    codes: CodesFile = Path("codes.h5"),
    show: Annotated[bool, typer.Option("--open", help="Open the page in a browser.")] = False,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Of 127.0.0.1; 0: any that is free.")] = 0,
    weights: WeightsName = None,
) -> None:
    """Look through people on a page of this machine: name, merge, split, ask, pick shots, forget. Ctrl-C ends it."""
    from dhhcli.output.terminal.console import print_notes
    from dhhcli.review.serve import serve

    def tell(address: str) -> None:
        typer.echo(address)
        sys.stdout.flush()
        print_notes(["open this address in a browser of this machine; Ctrl-C ends it"] if not show else [])
        if show:
            import webbrowser

            if not webbrowser.open(address):
                print_notes(["no program was found to open it with; open the address in a browser"])

    serve(codes, port=port, weights=weights, tell=tell)
