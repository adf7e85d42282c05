"""cli: words on a command line -> calls; everything that imports slowly is imported inside its command."""

import os
import sys
from contextlib import suppress
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from .completion import column_lists, weights_names
from .edit.formats import Device, Format, Fuse, Layout, Order
from .errors import DhhError, UsageError
from .layouts import Layout as PeopleLayout


class Commands(TyperGroup):
    """The one place where errors become one line and an exit code (the codes are listed in errors.py)."""

    def invoke(self, ctx: Any) -> Any:
        """Run a command; DhhError -> its exit code, a closed pipe -> a quiet end."""
        try:
            return super().invoke(ctx)
        except DhhError as error:
            typer.echo(f"dhh: error: {error}", err=True)
            raise typer.Exit(error.exit_code) from None
        except BrokenPipeError:  # `dhh query ... | head -1`: the reader has what it wanted
            sys.stdout = Path(os.devnull).open("w")  # noqa: SIM115  (open until the interpreter has flushed it)
            raise typer.Exit(0) from None
        except OSError as error:  # a full disk, a file taken away: the machine's fault, so words and no traceback
            where = f"{error.filename}: " if error.filename else ""
            typer.echo(f"dhh: error: {where}{error.strerror or error}", err=True)
            raise typer.Exit(1) from None


app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Find a person in your footage by a photo. Everything stays on this machine.",
)

Codes = Annotated[Path, typer.Option("--codes", "-c", envvar="DHH_CODES", help="Codes file made by encode.")]
Out = Annotated[Path | None, typer.Option("--out", "-o", help="File for --format; standard output if not given.")]
HandlesOption = Annotated[
    str, typer.Option(help="What to add around every shot of a timeline: frames (12f) or seconds (0.5s).")
]
OrderOption = Annotated[Order, typer.Option("--order", help="Of shots on a timeline: by rank, or by file and time.")]
SequenceOption = Annotated[
    Layout | None,
    typer.Option(
        "--sequence",
        help="stringout: all shots on one timeline; video: a timeline each, on which markers lie where the shot is. "
        "Default: video for resolve, avid, webvtt and chapters, stringout for the others.",
    ),
]
ColumnsOption = Annotated[
    str | None,
    typer.Option(
        "--columns",
        help="Which columns of a table, tsv, csv or json, and their order: rank,video,start.",
        autocompletion=column_lists,
    ),
]
WeightsName = Annotated[
    str | None,
    typer.Option(
        "--weights",
        envvar="DHH_WEIGHTS",
        help="Name of shipped weights, or path of a weights record.",
        autocompletion=weights_names,
    ),
]


class Recipe(StrEnum):
    """How to train: ours, or as the paper does (learning/paper.py)."""

    dhh = "dhh"
    paper = "paper"


class Search(StrEnum):
    """How frame-wise methods are searched (rivals/measure.py)."""

    average = "average"
    minimum = "minimum"
    majority = "majority"
    mean = "mean"


class Method(StrEnum):
    """What to train: ours, or a rival (learning/methods.py)."""

    dhh = "dhh"
    ddah = "ddah"
    dcbh = "dcbh"
    dmh = "dmh"
    dnnh = "dnnh"
    dsh = "dsh"
    hashnet = "hashnet"
    lsh = "lsh"
    itq = "itq"
    ssh = "ssh"
    dbc = "dbc"


def _version(wanted: bool) -> None:
    if wanted:
        from . import __version__

        typer.echo(f"dhh {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Find a person in your footage by a photo."""


@app.command()
def encode(
    videos: Annotated[
        list[Path], typer.Argument(help="Video files and photos, or folders that are searched for them.")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Codes file; added to when it exists.")] = Path("codes.h5"),
    weights: WeightsName = None,
    thumbnails: Annotated[
        bool | None,
        typer.Option(
            "--thumbnails/--no-thumbnails",
            help="Keep a small picture of each track's best face; without either, new files get some and known ones "
            "stay as they are.",
        ),
    ] = None,
    photos: Annotated[bool, typer.Option(help="Also encode the photos in folders.")] = True,
    prune: Annotated[bool, typer.Option("--prune", help="Drop the codes of files that are gone.")] = False,
    watch: Annotated[
        bool, typer.Option("--watch", help="Go on for ever: encode what comes, when it is whole.")
    ] = False,
    workers: Annotated[
        int | None, typer.Option("--workers", "-j", min=1, help="Files at a time; default one for two cores.")
    ] = None,
    every: Annotated[float | None, typer.Option(min=0.1, help="With --watch: seconds between two looks. [10]")] = None,
) -> None:
    """Index the people in videos and photos: one binary code per face track."""
    from .encode import weights_for
    from .network import load_network
    from .report.progress import stderr_console
    from .watch import encode_once, encode_watching

    if every is not None and not watch:
        raise UsageError("--every says how often --watch looks; add --watch")
    network = load_network(weights_for(out, weights), film=True)
    if watch:
        encode_watching(
            videos,
            out,
            network,
            stderr_console(),
            thumbnails=thumbnails,
            photos=photos,
            prune=prune,
            workers=workers,
            every=every or 10.0,
        )
    raise typer.Exit(
        encode_once(
            videos,
            out,
            network,
            stderr_console(),
            thumbnails=thumbnails,
            photos=photos,
            prune=prune,
            workers=workers,
        )
    )


@app.command()
def query(
    people: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="WHO",
            help="Photo or video of the person, or several of one person; track:N or shot:VIDEO:N of the codes file; "
            "name:NAME of somebody named; - for lines of standard input: such words, or JSON lines of a query.",
        ),
    ] = None,
    codes: Codes = Path("codes.h5"),
    called: Annotated[
        list[str] | None,
        typer.Option("--name", metavar="NAME", help="Somebody who was named (dhh name), as the word name:NAME."),
    ] = None,
    top: Annotated[
        int | None, typer.Option("--top", "-n", min=1, help="How many shots to show. [20]", show_default=False)
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Show all shots that the limits leave.")] = False,
    each: Annotated[
        bool, typer.Option("--each", help="Each word is a person of its own; rows say whom they answer (question).")
    ] = False,
    null: Annotated[
        bool, typer.Option("--null", "-0", help="Words on standard input end with NUL bytes, as find -print0 has them.")
    ] = False,
    face: Annotated[
        int,
        typer.Option(
            "--face", min=1, help="Which face of a photo or shot, 1 is the largest; of a video, 1 is seen longest."
        ),
    ] = 1,
    fuse: Annotated[
        Fuse,
        typer.Option(
            help="Several photos of a person: best takes the nearest of them, set looks at them as at one track, both "
            "the nearest of all these."
        ),
    ] = Fuse.both,
    also: Annotated[
        list[str] | None,
        typer.Option(
            "--with", "--and", help="Only shots in which this person is too, ranked by the one who is less sure."
        ),
    ] = None,
    without: Annotated[
        list[str] | None,
        typer.Option("--without", help="No shots in which this person is, with a confidence of 0.1 or more."),
    ] = None,
    never: Annotated[
        list[str] | None,
        typer.Option("--not", help="Not this person: a face nearer to them than to who is asked for falls away."),
    ] = None,
    globs: Annotated[
        list[str] | None,
        typer.Option("--in", help="Only videos whose path matches: a file, or a folder above it, say 'day1/*.mov'."),
    ] = None,
    after: Annotated[
        str | None, typer.Option(help="Only files recorded then or later: 2024-05-31, 2024-05-31T18:00.")
    ] = None,
    before: Annotated[str | None, typer.Option(help="Only files recorded before this date.")] = None,
    min_confidence: Annotated[
        float | None, typer.Option(min=0, max=1, help="Show only shots of at least this confidence.")
    ] = None,
    max_false_rate: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="Show only shots so near that somebody else comes as near at most this often."),
    ] = None,
    max_distance: Annotated[
        int | None, typer.Option(min=0, help="Show only shots in which at most so many bits differ.")
    ] = None,
    per_video: Annotated[int | None, typer.Option(min=1, help="At most so many shots of a video, the best.")] = None,
    merge: Annotated[
        float | None,
        typer.Option(min=0, help="Join the shots shown that lie at most so many seconds apart in a video."),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="JSON lines instead of a table or TSV.")] = False,
    format: Annotated[
        Format | None, typer.Option("--format", "-f", help="How to write the answer; a table or TSV if not given.")
    ] = None,
    columns: ColumnsOption = None,
    out: Out = None,
    handles: HandlesOption = "0f",
    order: OrderOption = Order.rank,
    sequence: SequenceOption = None,
    sheet: Annotated[
        Path | None,
        typer.Option("--sheet", help="Also write a contact sheet: a page (.html), or a picture (.png, .jpg)."),
    ] = None,
    why: Annotated[
        int | None,
        typer.Option("--explain", min=1, help="Instead of the answer, say why the hit of this rank is in it."),
    ] = None,
    show: Annotated[bool, typer.Option("--open", help="Open the sheet.")] = False,
    device: Annotated[
        Device,
        typer.Option(help="Where codes are compared: cuda is for many questions at once, and needs faiss-gpu."),
    ] = Device.cpu,
    weights: WeightsName = None,
) -> None:
    """Rank the shots that show a person, best first."""
    from .photos import look_ahead

    look_ahead(people[0] if people else "")  # before the rest is imported, which takes as long
    from .limits import Limits
    from .places import Where, moment
    from .query import Request, find_person
    from .report.columns import asked_extras, parse_columns
    from .report.delivery import Wish, check_wish, deliver
    from .report.output import print_notes
    from .words import parse_word, read_words

    if everything and top is not None:
        raise UsageError("--all and --top: give one of them")
    wish = Wish(
        Format.json if json and not format else format,
        out,
        handles,
        order,
        sequence,
        parse_columns(columns),
        asked_extras(each=each, several=bool(also), merged=merge is not None),
    )
    check_wish(wish, as_json=json, explain=why is not None, each=each)
    if sheet or show:
        from .report.sheet import check_sheet, show_sheet, write_sheet

        check_sheet(sheet, show=show)
    where = Where(
        tuple(globs or ()),
        None if after is None else moment(after, "--after"),
        None if before is None else moment(before, "--before"),
    )
    request = Request(
        words=read_words([*(people or ()), *(f"name:{one}" for one in called or ())], sys.stdin.buffer, nul=null),
        each=each,
        face=face,
        fuse=fuse,
        also=tuple(map(parse_word, also or ())),
        without=tuple(map(parse_word, without or ())),
        never=tuple(map(parse_word, never or ())),
        where=where,
        limits=Limits(min_confidence, max_false_rate, max_distance),
        top=None if everything else top or 20,
        per_video=per_video,
        merge=merge,
        thumbnails=sheet is not None,
        why=why,
        cuda=device is Device.cuda,
    )
    answer = find_person(request, codes, weights=weights)
    print_notes(answer.notes)
    if sheet:  # first: a sheet that cannot be written must not follow an answer that looks complete
        faces = [face for person in answer.asked for face in person.faces]
        print_notes(
            write_sheet(
                sheet, answer.rows, answer.thumbnails, videos=answer.videos, photos=faces, why=answer.explanation
            )
        )
        if show:
            print_notes(show_sheet(sheet))
    if answer.explanation:
        from .report.why import print_explanation

        print_explanation(answer.explanation, as_json=json)
    else:
        print_notes(deliver(answer.rows, answer.videos, wish, request.name))
    raise typer.Exit(answer.exit_code)


@app.command()
def export(
    hits: Annotated[Path, typer.Argument(help="JSON lines that query printed; - for standard input.")],
    format: Annotated[Format, typer.Option("--format", "-f", help="What to write.")],
    codes: Codes = Path("codes.h5"),
    out: Out = None,
    handles: HandlesOption = "0f",
    order: OrderOption = Order.rank,
    sequence: SequenceOption = None,
    columns: ColumnsOption = None,
) -> None:
    """Write the saved answer of a query, or what jq left of it, in another format."""
    from .query import saved_videos
    from .report.columns import parse_columns
    from .report.delivery import Wish, check_wish, deliver
    from .report.output import print_notes
    from .report.reading import read_hits

    wish = Wish(format, out, handles, order, sequence, parse_columns(columns))
    check_wish(wish)
    rows = read_hits(hits)
    print_notes(deliver(rows, saved_videos(codes, rows), wish, "dhh" if str(hits) == "-" else hits.stem))
    raise typer.Exit(0 if rows else 3)


@app.command()
def index(
    codes: Annotated[Path, typer.Argument(help="Codes file made by encode.")],
    ivf: Annotated[
        bool | None,
        typer.Option(
            "--ivf/--flat",
            help="Look into the nearest of many lists, or at every code. Default: as the index that is there; lists "
            "from 20 million tracks on.",
        ),
    ] = None,
    again: Annotated[
        bool, typer.Option("--again", help="Make the lists anew, also where old ones could serve.")
    ] = False,
    seed: Annotated[int, typer.Option(help="Seed of the clustering's sample and of the recall measurement.")] = 0,
) -> None:
    """Build an index beside a codes file, or bring it up to date; query uses it while it is fresh, or does without."""
    import numpy as np

    from .index import index_paths
    from .indexing import build
    from .report.output import print_notes

    info, how = build(
        codes, None if ivf is None else "ivf" if ivf else "flat", np.random.default_rng(seed), again=again
    )
    print_notes([f"{index_paths(codes)[0]}: {how}: {info.words()}"])


@app.command()
def info(
    codes: Annotated[Path, typer.Argument(help="Codes file made by encode.")] = Path("codes.h5"),
    listing: Annotated[bool, typer.Option("--list", help="A line for every video, photo and skipped file.")] = False,
    check: Annotated[bool, typer.Option("--check", help="Read every byte; damage is an error.")] = False,
    json: Annotated[bool, typer.Option("--json", help="JSON lines instead of a table or TSV.")] = False,
) -> None:
    """What a codes file holds: model, videos, tracks, hours, what is incomplete, skipped or forgotten."""
    from .inventory import list_entries, take_inventory
    from .report.inventory import inventory_notes, print_lines, print_pairs

    taken = take_inventory(codes, check=check)
    if listing:
        print_lines(list_entries(codes), as_json=json)
    else:
        print_pairs(taken, as_json=json)
    raise typer.Exit(inventory_notes(taken))


@app.command()
def people(
    codes: Annotated[Path, typer.Argument(help="Codes file made by encode.")] = Path("codes.h5"),
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
            min=0, help="Bits that tracks of one person may be apart on average; default: by the calibration."
        ),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="JSON lines instead of a table or TSV.")] = False,
    weights: WeightsName = None,
) -> None:
    """Group the tracks of a codes file by who they show: unknown people get a number, most screen time first."""
    from .people import find_people
    from .report.inventory import print_lines
    from .report.output import print_notes

    if sheet or show:
        from .report.sheet import check_sheet, show_sheet

        check_sheet(sheet, show=show)
    found = find_people(codes, min_tracks=min_tracks, within=within, weights=weights, faces=sheet is not None)
    print_notes(found.notes)
    if sheet:
        from .report.cast import write_cast

        write_cast(sheet, found)
        if show:
            print_notes(show_sheet(sheet))
    print_lines(found.together if together else found.people, as_json=json)
    raise typer.Exit(0 if found.people else 3)


@app.command()
def name(
    codes: Annotated[Path, typer.Argument(help="Codes file made by encode.")],
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[WHO] NAME", help="A number of dhh people, or a name to change; then the name to give."
        ),
    ] = None,
    track: Annotated[
        list[int] | None, typer.Option("--track", help="Name this track instead of a person; repeatable.")
    ] = None,
    remove: Annotated[
        str | None, typer.Option("--remove", metavar="NAME", help="Take this name away; with --track, from tracks.")
    ] = None,
    within: Annotated[float | None, typer.Option(min=0, help="As it was for dhh people.")] = None,
    json: Annotated[bool, typer.Option("--json", help="JSON lines instead of a table or TSV.")] = False,
    weights: WeightsName = None,
) -> None:
    """Give people of a codes file names to ask for; without a name, list those that there are."""
    from .naming import give_name, list_names, take_name
    from .report.inventory import print_lines
    from .report.output import print_notes

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
        print_lines(listed, as_json=json)
        raise typer.Exit(0 if listed else 3)


@app.command()
def merge(
    codes: Annotated[list[Path], typer.Argument(help="Codes files of one model.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Codes file to write; must not exist.")],
) -> None:
    """Put several codes files into one; a video that several hold comes once."""
    from .merge import merge as merge_codes
    from .report.output import print_notes

    print_notes(merge_codes(codes, out).lines(out))


@app.command()
def forget(
    codes: Annotated[Path, typer.Argument(help="Codes file made by encode.")],
    video: Annotated[list[Path] | None, typer.Option("--video", help="Forget a whole video; repeatable.")] = None,
    track: Annotated[
        list[int] | None, typer.Option("--track", help="Forget a track, by the number query prints; repeatable.")
    ] = None,
    photo: Annotated[
        list[Path] | None, typer.Option("--photo", help="Forget everyone near this photo; with --within; repeatable.")
    ] = None,
    within: Annotated[int | None, typer.Option(min=0, help="With --photo: at most so many bits away.")] = None,
    called: Annotated[
        list[str] | None, typer.Option("--name", help="Forget all tracks that have this name; repeatable.")
    ] = None,
    face: Annotated[int, typer.Option("--face", min=1, help="Which face of the photo, 1 is the largest.")] = 1,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be removed.")] = False,
    json: Annotated[bool, typer.Option("--json", help="JSON lines instead of a table or TSV.")] = False,
    weights: WeightsName = None,
) -> None:
    """Erase people, tracks or videos from a codes file, so that no later encode brings them back."""
    from .forget import Request
    from .forget import forget as forget_in
    from .report.inventory import print_lines, removal_note
    from .report.output import print_notes

    request = Request(tuple(video or ()), tuple(track or ()), tuple(photo or ()), within, face, tuple(called or ()))
    removed, notes = forget_in(codes, request, weights=weights, dry_run=dry_run)
    print_notes(notes)
    print_lines(removed, as_json=json)
    print_notes([removal_note(removed, codes, dry_run=dry_run)])
    raise typer.Exit(0 if removed else 3)


@app.command()
def train(
    data: Annotated[list[Path], typer.Option("--data", "-d", help="Face pack (HDF5) or folder of people; repeatable.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for weights, checkpoints, log and plot.")],
    bits: Annotated[
        list[int] | None,
        typer.Option(min=8, max=512, help="Length of the codes; several are trained together. [128]"),
    ] = None,
    name: Annotated[str | None, typer.Option(help="Weights are called NAME-BITS. [the method's name]")] = None,
    validate: Annotated[Path | None, typer.Option(help="Face pack of other people, for figures.")] = None,
    protocol: Annotated[Path | None, typer.Option(help="Retrieval protocol (JSON) on --validate.")] = None,
    recipe: Annotated[
        Recipe, typer.Option(help="dhh: ours. paper: as published, to compare with; a network for each length.")
    ] = Recipe.dhh,
    method: Annotated[
        Method, typer.Option(help="dhh, or a rival of it that hashes single pictures; --recipe is dhh's alone.")
    ] = Method.dhh,
    features_of: Annotated[
        str | None, typer.Option(help="Weights whose features methods without a network of their own hash. [dhh-128]")
    ] = None,
    hold_out: Annotated[
        int, typer.Option(min=0, help="Keep ten pictures of so many people out of a rival's training.")
    ] = 0,
    backbone_from: Annotated[
        Path | None, typer.Option(help="pretrain.safetensors of another run: the backbone starts there.")
    ] = None,
    backbone_steps: Annotated[
        int | None, typer.Option(min=0, help="Steps of pre-training the backbone, other than the recipe's.")
    ] = None,
    hash_steps: Annotated[int | None, typer.Option(min=0, help="Steps of the hash layers on cached features.")] = None,
    joint_steps: Annotated[int | None, typer.Option(min=0, help="Steps of everything jointly.")] = None,
    patience: Annotated[
        int, typer.Option(min=0, help="Stop a stage after so many reports without a better figure; 0: never.")
    ] = 0,
    changes: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="Change another setting of the recipe; may be repeated."),
    ] = None,
    terms: Annotated[str, typer.Option(help="Terms of the data, written into the record.")] = "not stated",
    seed: Annotated[int, typer.Option(min=0, help="Seed of everything random.")] = 0,
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads; default all cores.")] = None,
) -> None:
    """Train a network on face crops with identities. Run again to go on after an interruption."""
    from .learning.recipes import train_by
    from .report.output import print_notes

    for line in train_by(
        recipe,
        data,
        out,
        bits or [128],
        seed=seed,
        method=method,
        features_of=features_of,
        hold_out=hold_out,
        changes=changes or (),
        backbone_steps=backbone_steps,
        hash_steps=hash_steps,
        joint_steps=joint_steps,
        name=name,
        validate=validate,
        protocol=protocol,
        terms=terms,
        threads=threads,
        start_from=backbone_from,
        patience=patience,
    ):
        print_notes([line])


@app.command()
def pack(
    sources: Annotated[list[Path], typer.Argument(help="Folders of people's photos, frames or clips.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Face pack (HDF5) to write.")],
    layout: Annotated[PeopleLayout, typer.Option(help="How the folders are laid out; auto looks.")] = PeopleLayout.AUTO,
) -> None:
    """Cut the faces out of folders of people, into one face pack for training."""
    from .folders import pack_folders
    from .layouts import list_people
    from .report.packing import PackProgress
    from .report.progress import stderr_console

    listings = [list_people(source, layout) for source in sources]
    progress = PackProgress(listings, stderr_console())
    for event in pack_folders(listings, out):
        progress.done(event)
    progress.conclude(out)
    raise typer.Exit(progress.exit_code)


@app.command()
def evaluate(
    data: Annotated[
        Path,
        typer.Argument(help="Face pack (HDF5), folder with a folder per person, or codes file; people not trained on."),
    ],
    protocol: Annotated[
        Path | None, typer.Option(help="Retrieval protocol (JSON) on a pack: queries, sets and shots.")
    ] = None,
    weights: Annotated[
        list[str] | None,
        typer.Option(
            envvar="DHH_WEIGHTS",
            help="Name of shipped weights, or path of a weights record; repeatable.",
            autocompletion=weights_names,
        ),
    ] = None,
    compare: Annotated[
        str | None,
        typer.Option(
            metavar="METHODS",
            help="Instead: compare methods on one split: all, fitted, trained, frames, or names with commas.",
        ),
    ] = None,
    fit: Annotated[Path | None, typer.Option(help="With --compare: training pack that methods are fitted on.")] = None,
    closed: Annotated[
        int | None,
        typer.Option(min=1, help="With --compare: hold photos of at most so many people out of DATA, fit on the rest."),
    ] = None,
    bits: Annotated[
        list[int] | None,
        typer.Option(min=1, max=512, help="With --compare: lengths; default those of --weights, else 12, 24 and 48."),
    ] = None,
    seeds: Annotated[int | None, typer.Option(min=1, help="With --compare: how often what is random is drawn.")] = None,
    search: Annotated[
        Search | None,
        typer.Option(help="With --compare: how frame-wise methods are searched, in the tables. Default: average."),
    ] = None,
    labels: Annotated[
        Path | None, typer.Option(help="Who is where in a codes file (TSV): video, shot, person [, track].")
    ] = None,
    photos: Annotated[Path | None, typer.Option(help="With --labels: a folder per person, photos to ask with.")] = None,
    plot: Annotated[Path | None, typer.Option(help="Also draw the precision-recall curves (.png).")] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Also write every table and curve (JSON). With --compare a folder: what is computed, so that the same "
            "line goes on where it was, CSV, LaTeX and curves."
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of random codes, and the first of --seeds.")] = 0,
    json: Annotated[bool, typer.Option("--json", help="JSON lines instead of tables or TSV.")] = False,
) -> None:
    """Retrieval and verification figures of codes and of the features behind them."""
    from .evaluation import Request, evaluate_request
    from .figures import write_evaluation
    from .report.output import print_notes, print_tables

    if plot:
        from .report.curves import check_picture

        check_picture(plot)
    if compare is not None:
        if labels or photos or plot:
            raise UsageError(
                "--compare takes no --labels, --photos or --plot; curves are drawn into the folder of --out"
            )
        by = (search or Search.average).value
        _compare(compare, data, protocol, fit, closed, weights or [], bits or [], seeds or 1, by, out, seed, json)
        return
    if fit or closed or bits or seeds or search:
        raise UsageError("--fit, --closed, --bits, --seeds and --search belong to --compare")
    request = Request(data, tuple(weights or ()), protocol=protocol, labels=labels, photos=photos, seed=seed)
    found = evaluate_request(request)
    print_notes(found.notes)
    if plot:
        from .report.curves import plot_curves

        plot_curves(plot, found.results)
    if out:
        write_evaluation(out, found)
    print_tables(found.tables(), as_json=json)


def _compare(
    methods: str,
    data: Path,
    protocol: Path | None,
    fit: Path | None,
    closed: int | None,
    weights: list[str],
    bits: list[int],
    seeds: int,
    search: str,
    out: Path | None,
    seed: int,
    as_json: bool,
) -> None:
    from .report.comparison import write_comparison
    from .report.output import print_grids, print_notes, print_scores
    from .rivals.compare import compare, named, plan
    from .rivals.data import read_split
    from .rivals.summary import grids, summarise

    threads = os.cpu_count() or 1
    wanted = plan(named(methods), bits, seeds, weights, out, threads=threads, first_seed=seed)
    split, notes = read_split(data, protocol=protocol, fit=fit, closed=closed, threads=threads)
    print_notes(notes)
    cells = compare(split, wanted, note=lambda line: print_notes([line]))
    if out:
        write_comparison(out, cells, search)
    lines = summarise(cells)
    if as_json:
        print_scores(lines, as_json=True)
    else:
        print_grids(grids(lines, search))


@app.command()
def ablate(
    pack: Annotated[Path, typer.Argument(help="Face pack (HDF5) of people the network was not trained on.")],
    data: Annotated[
        list[Path], typer.Option("--data", "-d", help="Face pack to train hash layers on; may be given several times.")
    ],
    protocol: Annotated[Path, typer.Option(help="Retrieval protocol (JSON): queries, sets and shots.")],
    weights: WeightsName = None,
    bits: Annotated[int, typer.Option(min=8, max=512, help="Length of the codes.")] = 48,
    steps: Annotated[int, typer.Option(min=1, help="Training steps of every variant.")] = 300,
    people: Annotated[int, typer.Option(min=2, help="How many people to train on, at most.")] = 400,
    seed: Annotated[int, typer.Option(help="Seed of everything random.")] = 0,
    json: Annotated[bool, typer.Option("--json", help="JSON lines instead of a table or TSV.")] = False,
) -> None:
    """What the parts of the method are worth: hash layers without one or another, on the features of some weights."""
    from .learning.ablate import AblationSettings
    from .learning.ablate import ablate as ablate_weights
    from .report.output import print_notes, print_scores

    settings = AblationSettings(bits=bits, steps=steps, seed=seed)
    outcomes = ablate_weights(
        data, pack, protocol, weights, settings, people=people, note=lambda line: print_notes([line])
    )
    print_scores(outcomes, as_json=json)


@app.command()
def calibrate(
    pack: Annotated[Path, typer.Argument(help="Face pack (HDF5) of people the network was not trained on.")],
    weights: Annotated[
        list[str] | None,
        typer.Option(
            envvar="DHH_WEIGHTS",
            help="Name of shipped weights, or path of a weights record; repeatable.",
            autocompletion=weights_names,
        ),
    ] = None,
    prior: Annotated[
        float, typer.Option(min=1e-9, max=0.5, help="Share of the footage's face tracks that are of the person.")
    ] = 0.01,
    plot: Annotated[Path | None, typer.Option(help="Also draw what was promised against what came (.png).")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the imitated tracks and of the halves.")] = 0,
    json: Annotated[bool, typer.Option("--json", help="JSON lines instead of tables or TSV.")] = False,
) -> None:
    """Learn what a distance is worth, and write it into the weights' records; prints how it holds on other people."""
    from .calibrate import calibrate_weights
    from .report.curves import check_picture
    from .report.output import print_notes, print_tables
    from .report.reliability import plot_reliability

    if plot:
        check_picture(plot)
    done = []
    for used, calibrated in calibrate_weights(pack, weights or [None], prior=prior, seed=seed):
        done.append(calibrated)
        print_notes([f"{used.record_path}: calibrated"])
    bins = [line for calibrated in done for line in calibrated.bins]
    if plot:
        plot_reliability(plot, bins)
    print_tables({"held_out": [line for each in done for line in each.held_out], "bins": bins}, as_json=json)


@app.command()
def sample(
    folder: Annotated[Path, typer.Argument(help="Folder to write into; created when missing.")],
) -> None:
    """Write a small sample video and two photos to try dhh on, made from public domain portraits."""
    from .report.output import print_notes
    from .sample import write_sample

    print_notes(write_sample(folder).lines())


def main() -> None:
    """Entry point of the ``dhh`` command."""
    try:
        app(prog_name="dhh")
    except SystemExit as end:
        # A query has only read, and written what it had to say: taking everything apart would take 30 ms more.
        if "dhhcli.query" in sys.modules and isinstance(end.code, int):
            with suppress(OSError):  # then the interpreter says what is wrong
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(end.code)
        raise
