"""search_commands: words that name people + codes files -> where they are: query, export."""

import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated

import typer

from dhhcli.cli.completion import names_beside, who
from dhhcli.cli.options import (
    AudioOption,
    ClusterOption,
    ColumnsOption,
    FacesOption,
    HandlesOption,
    Json,
    MapOption,
    OrderOption,
    Out,
    RateOption,
    SequenceOption,
    SeveralCodes,
    WeightsName,
    Wide,
    cluster_of,
    finite,
    in_panels,
)
from dhhcli.errors import UsageError
from dhhcli.output.formats import Format, Order
from dhhcli.search.options import Device, FrameDistance, Fuse, Only, Rank

if TYPE_CHECKING:
    from dhhcli.search.confidence import Limits
    from dhhcli.search.question.request import Query


@in_panels(
    Ask=("codes", "called", "each", "null", "also", "without", "never", "yes", "no"),
    Limit=(
        "top",
        "everything",
        "globs",
        "only",
        "after",
        "before",
        "min_confidence",
        "max_false_rate",
        "max_distance",
        "per_video",
        "merge",
    ),
    Export=(
        "json",
        "format",
        "columns",
        "wide",
        "faces",
        "out",
        "handles",
        "order",
        "sequence",
        "rate",
        "audio",
        "sheet",
        "show",
    ),
    Expert=("face", "fuse", "why", "search", "rank_by", "prior", "device", "cluster", "mappings", "weights"),
)
def query(
    people: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="WHO",
            autocompletion=who,
            help="Photo or video of the person, or several of one person, or a folder of their photos; track:N or "
            "shot:VIDEO:N of the codes file; "
            "name:NAME of somebody named; - for lines of standard input: such words, or JSON lines of a query.",
        ),
    ] = None,
    codes: SeveralCodes = None,
    called: Annotated[
        list[str] | None,
        typer.Option(
            "--name",
            metavar="NAME",
            help="Somebody who was named (dhh name), as the word name:NAME.",
            autocompletion=names_beside,
        ),
    ] = None,
    each: Annotated[
        bool, typer.Option("--each", help="Each word is a person of its own; rows say whom they answer (question).")
    ] = False,
    null: Annotated[
        bool, typer.Option("--null", "-0", help="Words on standard input end with NUL bytes, as find -print0 has them.")
    ] = False,
    also: Annotated[
        list[str] | None,
        typer.Option(
            "--with",
            "--and",
            help="Only shots in which this person is too, ranked by the one who is less sure.",
            autocompletion=who,
        ),
    ] = None,
    without: Annotated[
        list[str] | None,
        typer.Option(
            "--without",
            help="No shots in which this person is, with a confidence of 0.1 or more.",
            autocompletion=who,
        ),
    ] = None,
    never: Annotated[
        list[str] | None,
        typer.Option(
            "--not",
            help="Not this person: a face nearer to them than to who is asked for falls away.",
            autocompletion=who,
        ),
    ] = None,
    yes: Annotated[
        list[str] | None,
        typer.Option("--yes", help="This is who is asked for, too, say track:4fa91c07-5b2e90d1; it stays an answer."),
    ] = None,
    no: Annotated[
        list[str] | None,
        typer.Option("--no", help="This is not who is asked for: no answer, and those like it come later."),
    ] = None,
    top: Annotated[
        int | None, typer.Option("--top", "-n", min=1, help="How many shots to show. [20]", show_default=False)
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Show all shots that the limits leave.")] = False,
    globs: Annotated[
        list[str] | None,
        typer.Option("--in", help="Only videos whose path matches: a file, or a folder above it, say 'day1/*.mov'."),
    ] = None,
    only: Annotated[Only | None, typer.Option("--only", help="Only shots of videos, or only photos.")] = None,
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
        typer.Option(
            min=0, callback=finite, help="Join the shots shown that lie at most so many seconds apart in a video."
        ),
    ] = None,
    json: Json = False,
    format: Annotated[
        Format | None, typer.Option("--format", "-f", help="How to write the answer; a table or TSV if not given.")
    ] = None,
    columns: ColumnsOption = None,
    wide: Wide = False,
    faces: FacesOption = None,
    out: Out = None,
    handles: HandlesOption = "0f",
    order: OrderOption = Order.rank,
    sequence: SequenceOption = None,
    rate: RateOption = None,
    audio: AudioOption = True,
    sheet: Annotated[
        Path | None,
        typer.Option("--sheet", help="Also write a contact sheet: a page (.html), or a picture (.png, .jpg)."),
    ] = None,
    show: Annotated[bool, typer.Option("--open", help="Open the sheet.")] = False,
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
    why: Annotated[
        int | None,
        typer.Option("--explain", min=1, help="Instead of the answer, say why the hit of this rank is in it."),
    ] = None,
    search: Annotated[
        FrameDistance | None,
        typer.Option(
            help="Where a codes file keeps codes of frames: a track is as far as its frames are on average, as the "
            "nearest of them, or as the majority of their bits. [average]",
            show_default=False,
        ),
    ] = None,
    rank_by: Annotated[
        Rank,
        typer.Option(
            "--rank",
            help="What shots are ranked by: soft lets a bit that differs count by how sure the photo's is; bits counts "
            "them all alike, as the column distance does.",
        ),
    ] = Rank.soft,
    prior: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=1,
            help="Which share of all face tracks is the person's, for confidence: 0.01 is one in a hundred. Default: "
            "estimated from how near all of them come.",
        ),
    ] = None,
    device: Annotated[
        Device,
        typer.Option(help="Where codes are compared: cuda is for many questions at once, and needs faiss-gpu."),
    ] = Device.cpu,
    cluster: ClusterOption = None,
    mappings: MapOption = None,
    weights: WeightsName = None,
) -> None:
    """Rank the shots that show a person, best first."""
    from dhhcli.models.network_ahead import look_for_network

    look_for_network(weights)  # needs a core for a tenth of a second, and the least of dhh
    from dhhcli.encoding.query_photo import look_ahead

    look_ahead(people[0] if people else "")  # before the rest is imported, which takes as long
    from dhhcli.output.columns import asked_extras, parse_columns
    from dhhcli.output.delivery import OutputOptions, check_wish, deliver, shows_faces, wished
    from dhhcli.output.terminal.console import print_notes
    from dhhcli.search.collection import codes_files
    from dhhcli.search.confidence import Limits
    from dhhcli.search.query import find_person

    if everything and top is not None:
        raise UsageError("--all and --top: give one of them")
    wish = wished(
        OutputOptions(
            Format.json if json and not format else format,
            out,
            handles,
            order,
            sequence,
            parse_columns(columns),
            rate,
            audio,
            wide,
            asked_extras(each=each, several=bool(also), merged=merge is not None),
            faces,
        )
    )
    check_wish(wish, as_json=json, explain=why is not None, each=each)
    if sheet or show:
        from dhhcli.output.sheets.contact_sheet import check_sheet, show_sheet, write_sheet

        check_sheet(sheet, show=show)
    request = request_of(
        [*(people or ()), *(f"name:{one}" for one in called or ())],
        sys.stdin.buffer,
        nul=null,
        each=each,
        face=face,
        fuse=fuse,
        also=also or (),
        without=without or (),
        never=never or (),
        yes=yes or (),
        no=no or (),
        globs=globs or (),
        only=only,
        after=after,
        before=before,
        limits=Limits(min_confidence, max_false_rate, max_distance),
        top=None if everything else top or 20,
        per_video=per_video,
        merge=merge,
        thumbnails=sheet is not None or shows_faces(wish, each=each),
        why=why,
        device=device,
        way=search,
        rank=rank_by,
        prior=prior,
    )
    files = codes_files(codes or [Path("codes.h5")])
    with _said_soon(sheet):
        answer = find_person(request, files, weights=weights, cluster=cluster_of(cluster, mappings))
    print_notes(answer.notes)
    if sheet:  # first: a sheet that cannot be written must not follow an answer that looks complete
        from dhhcli.output.terminal.waiting import sheet_words, waiting

        shown = [face for person in answer.asked for face in person.faces]
        with waiting(sheet_words(sheet, len(answer.rows))):
            written = write_sheet(
                sheet,
                answer.rows,
                answer.thumbnails,
                videos=answer.videos,
                photos=shown,
                matched=answer.matched,
                why=answer.explanation,
            )
        print_notes(written)
        if show:
            print_notes(show_sheet(sheet))
    if answer.explanation:
        from dhhcli.output.explanation import print_explanation

        print_explanation(answer.explanation, as_json=json)
    else:
        print_notes(deliver(answer.rows, answer.videos, wish, request.name, answer.thumbnails))
    raise typer.Exit(answer.exit_code)


def _said_soon(sheet: Path | None) -> AbstractContextManager[None]:
    """With a sheet, which may be of thousands, what is being done is said where it takes longer than a query does."""
    if sheet is None:  # what says so takes longer to import than a query may
        return nullcontext()
    from dhhcli.output.terminal.waiting import waiting

    return waiting(f"{sheet}: looking for who is to be on it")


def request_of(
    words: Sequence[str],
    stream: IO[bytes],
    *,
    nul: bool = False,
    each: bool = False,
    face: int = 1,
    fuse: Fuse = Fuse.both,
    also: Sequence[str] = (),
    without: Sequence[str] = (),
    never: Sequence[str] = (),
    yes: Sequence[str] = (),
    no: Sequence[str] = (),
    globs: Sequence[str] = (),
    only: Only | None = None,
    after: str | None = None,
    before: str | None = None,
    limits: "Limits | None" = None,
    top: int | None = 20,
    per_video: int | None = None,
    merge: float | None = None,
    thumbnails: bool = False,
    why: int | None = None,
    device: Device = Device.cpu,
    way: FrameDistance | None = None,
    rank: Rank = Rank.soft,
    prior: float | None = None,
) -> "Query":
    """What the words of a command line ask for; ``stream`` is read where "-" is among ``words``. See ``Query``.

    Raises:
        UsageError: a word names nobody, "-" comes twice, ``nul`` without it, a date is none.
        NobodyError: all there is is an empty stream.
    """
    from dhhcli.search.confidence import NO_LIMITS
    from dhhcli.search.question.request import Query
    from dhhcli.search.question.scope import Where, moment
    from dhhcli.search.question.terms import parse_word, read_words

    where = Where(
        tuple(globs),
        None if after is None else moment(after, "--after"),
        None if before is None else moment(before, "--before"),
        only,
    )
    return Query(
        words=read_words(words, stream, nul=nul),
        each=each,
        face=face,
        fuse=fuse,
        also=tuple(map(parse_word, also)),
        without=tuple(map(parse_word, without)),
        never=tuple(map(parse_word, never)),
        yes=tuple(map(parse_word, yes)),
        no=tuple(map(parse_word, no)),
        where=where,
        limits=limits or NO_LIMITS,
        top=top,
        per_video=per_video,
        merge=merge,
        thumbnails=thumbnails,
        why=why,
        cuda=device is Device.cuda,
        way=way,
        rank=rank,
        prior=prior,
    )


def export(
    hits: Annotated[Path, typer.Argument(help="JSON lines that query printed; - for standard input.")],
    format: Annotated[
        Format | None, typer.Option("--format", "-f", help="What to write; as the suffix of --out says if not given.")
    ] = None,
    codes: SeveralCodes = None,
    out: Out = None,
    handles: HandlesOption = "0f",
    order: OrderOption = Order.rank,
    sequence: SequenceOption = None,
    rate: RateOption = None,
    audio: AudioOption = True,
    columns: ColumnsOption = None,
) -> None:
    """Write the saved answer of a query, or what jq left of it, in another format."""
    from dhhcli.output.columns import parse_columns
    from dhhcli.output.delivery import OutputOptions, check_wish, deliver, wished
    from dhhcli.output.saved_rows import read_hits
    from dhhcli.output.terminal.console import print_notes
    from dhhcli.search.collection import codes_files
    from dhhcli.search.result import saved_videos

    wish = wished(OutputOptions(format, out, handles, order, sequence, parse_columns(columns), rate, audio))
    if wish.format is None and wish.out is None:
        raise UsageError("say what to write: --format edl, or --out cuts.edl")
    check_wish(wish)
    rows = read_hits(hits)
    if not rows:
        print_notes([f"{hits}: nobody was found, so there is nothing to export"])
    print_notes(
        deliver(
            rows,
            saved_videos(codes_files(codes or [Path("codes.h5")]), rows),
            wish,
            "dhh" if str(hits) == "-" else hits.stem,
        )
    )
    raise typer.Exit(0 if rows else 3)
