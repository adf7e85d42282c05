"""library: a codes file and plain Python values -> who is where in it: the public API, as ``import dhhcli`` gives it.

It does what the command line does, by the same functions, and stands beside it: nothing is printed, every error is an
exception of errors.py, and what the command line would say in passing goes to the logger "dhhcli" at the level INFO.
"""

import logging
from collections.abc import Callable, Generator, Iterable
from contextlib import closing
from datetime import date
from functools import lru_cache
from numbers import Integral
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:  # these bring the whole chain with them, which is imported when it is needed
    from dhhcli.encoding.events import FileEvent, Step
    from dhhcli.models.network import Network
    from dhhcli.people.identities import Person
    from dhhcli.search.exact import Hit
    from dhhcli.search.forget import Removed
    from dhhcli.search.question.terms import Word

Name = str | PathLike[str]  # of a file or folder
Who: TypeAlias = "Name | Hit | Person"
_log = logging.getLogger("dhhcli")


class Library:
    """A codes file: who is in which videos and photos, to be added to, searched, named and erased.

    Nothing is opened or read before it is asked for; what another process has changed meanwhile is seen. Networks that
    were loaded once are kept. Hits and people name tracks by their row in the file as it was: after ``encode`` and
    ``forget`` ask anew. Errors are children of ``dhhcli.DhhError``, one line each; as they are those of the command
    line, they call an argument by its option.
    """

    def __init__(self, codes: Name = "codes.h5", *, weights: Name | None = None) -> None:
        """codes: the codes file; ``encode`` begins it where there is none.

        weights: name of shipped weights, or path of a weights record. None: the shipped ones that made the file; for a
        new one those of $DHH_WEIGHTS, else dhh-128.
        """
        self.codes = Path(codes)
        self.weights = None if weights is None else str(weights)
        self._kept = lru_cache(maxsize=4)(_load)

    def __repr__(self) -> str:
        return f"Library({str(self.codes)!r}{'' if self.weights is None else f', weights={self.weights!r}'})"

    def encode(
        self,
        paths: Name | Iterable[Name],
        *,
        thumbnails: bool | None = None,
        frame_codes: bool | None = None,
        photos: bool = True,
        prune: bool = False,
        workers: int = 1,
        threads: int = 0,
        on_step: "Callable[[Step], None]" = lambda _: None,
    ) -> "Generator[FileEvent]":
        """Encode videos and photos that the codes file does not hold yet; an event of encoding/events.py for each.

        The work is done while the events are taken; every file is safely on disk when its event comes. A generator that
        is closed early keeps what is finished. What cannot be read is an event too (``Skipped``) and stops nothing.

        Args:
            paths: files, and folders that are searched for them.
            thumbnails: keep a small picture of every track's best face; True encodes known files again for it, False
                takes theirs away; None: new ones get some, known ones stay as they are.
            frame_codes: also keep a code for every sampled frame, with weights that hash pictures only. None: as the
                codes file that is there.
            photos: also encode the photos in folders.
            prune: drop the codes of files under ``paths`` that are gone.
            workers: files at a time; more than one are processes, which import the caller's main module: it has to
                guard what it does by ``if __name__ == "__main__":``.
            threads: of the decoder of each file; 0: one for each core.
            on_step: called several times a second with how far the encoding of a file is.

        Raises:
            MissingPathError, NoVideoError: a path is not there, or there is nothing to encode under all of them.
            UsageError: codes of frames are wanted and the weights have none, or a number is out of its range.
            WeightsError: the weights cannot be used.
            ShardError: the codes file is damaged, other weights' or being written, or begun with the other choice of
                ``frame_codes``.
        """
        from dhhcli.encoding.events import Began, RoundEvent
        from dhhcli.encoding.options import EncodeOptions
        from dhhcli.encoding.run import weights_for
        from dhhcli.encoding.watch import encode_once

        network = self._kept(weights_for(self.codes, self.weights), film=True)
        options = EncodeOptions(thumbnails, frame_codes, threads)
        events = encode_once(
            _paths(paths), self.codes, network, options, photos=photos, prune=prune, workers=workers, on_step=on_step
        )
        with closing(events):
            for event in events:
                if isinstance(event, Began):
                    _note(f"{folder}: cannot be read, what is in it was left out" for folder in event.files.unreadable)
                elif not isinstance(event, RoundEvent):
                    yield event

    def search(
        self,
        who: "Who | Iterable[Who]",
        *,
        top: int | None = 20,
        face: int = 1,
        also: "Who | Iterable[Who]" = (),
        without: "Who | Iterable[Who]" = (),
        never: "Who | Iterable[Who]" = (),
        within: Name | Iterable[Name] = (),
        after: str | date | None = None,
        before: str | date | None = None,
        min_confidence: float | None = None,
        max_false_rate: float | None = None,
        max_distance: int | None = None,
        per_video: int | None = None,
        merge: float | None = None,
        thumbnails: bool = False,
        prior: float | None = None,
    ) -> "list[Hit]":
        """Shots that show a person, best first; an empty list where nobody is found.

        Args:
            who: a photo or video of the person; "track:12", "shot:film.mp4:6" or "name:Ada Lovelace" of the codes file;
                a hit or person of an earlier answer; or several of these, all of one person. The shot that a hit,
                track or nameless person is asked with is no answer.
            top: how many shots at most; None: all that the limits leave.
            face: which face of a photo or shot, 1 is the largest; of a video, 1 is seen longest.
            also: only shots in which this person is too, or each of several.
            without: no shots in which one of these people is, with a confidence of 0.1 or more.
            never: a face nearer to one of these people than to ``who`` falls away.
            within: only videos whose path matches this glob, or one of several: a file, or a folder above it.
            after: only files recorded then or later: a date, or a text like "2024-05-31" or "2024-05-31T18:00".
            before: only files recorded earlier.
            min_confidence: only shots of at least this confidence, between 0 and 1.
            max_false_rate: only shots so near that somebody else comes as near at most this often, between 0 and 1.
            max_distance: only shots in which at most so many bits differ.
            per_video: at most so many shots of a video, the best.
            merge: join the shots found that lie at most so many seconds apart in a video.
            thumbnails: also read the pictures of the faces.
            prior: which share of all tracks is the person's, for confidence; None: as their distances say.

        Raises:
            MissingPathError: there is no codes file, photo or video of this name.
            PhotoError, VideoError, NoVideoError: a photo or video cannot be decoded.
            NoFaceError: it shows no face, or fewer than ``face``.
            NamesError: nobody is called so.
            ShardError: the codes file is damaged or other weights', or holds no such track or shot.
            WeightsError: the weights cannot be used, or are not calibrated and a limit needs it.
            UsageError: nobody is asked for, a word cannot be read, or a number is out of its range.
        """
        from dhhcli.search.confidence import Limits
        from dhhcli.search.query import find_person
        from dhhcli.search.question.request import Query
        from dhhcli.search.question.scope import Where

        where = Where(tuple(map(str, _each(within, str, PathLike))), _moment(after, "after"), _moment(before, "before"))
        request = Query(
            words=_words(who),
            face=face,
            also=_words(also),
            without=_words(without),
            never=_words(never),
            where=where,
            limits=Limits(min_confidence, max_false_rate, max_distance),
            top=top,
            per_video=per_video,
            merge=merge,
            thumbnails=thumbnails,
            exact=True,
            prior=prior,
        )
        answer = find_person(request, self.codes, weights=self.weights, load=self._kept)
        _note(answer.notes)
        return list(answer.exact)

    def people(self, *, min_tracks: int = 1, within: float | None = None) -> "list[Person]":
        """Everybody in the codes file, known or not: tracks grouped by who they show, most screen time first.

        Args:
            min_tracks: leave out people with fewer tracks; those who have a name are always there.
            within: bits that the tracks of one person may be apart on average; None: by the calibration.

        Raises:
            MissingPathError, ShardError: there is no codes file, or it is damaged.
            NamesError: the names beside it are damaged.
            WeightsError: the weights cannot be used, or are not calibrated and ``within`` is not given.
            UsageError: ``within`` is out of its range.
        """
        from dhhcli.people.identities import find_people

        found = find_people(self.codes, min_tracks=min_tracks, within=within, weights=self.weights)
        _note(found.notes)
        return list(found.people)

    def name(self, who: "Person | Hit | str", name: str, *, within: float | None = None) -> None:
        """Give somebody a name; ``search`` finds them by "name:NAME" then.

        Args:
            who: a person of ``people``; a hit or "track:12", that track alone; or a name, which is changed.
            name: the name; whoever has it already stays who has it too.
            within: as it was for ``people``.

        Raises:
            NamesError: there is no such person, track or name (any more); it is no name; the person has another one
                already; or they would be in two places at once.
            MissingPathError, ShardError, WeightsError, UsageError: as ``people``.
        """
        from dhhcli.people.naming import give_name
        from dhhcli.search.exact import Hit
        from dhhcli.search.question.terms import TrackTerm, parse_word

        word = parse_word(who) if isinstance(who, str) and who.startswith("track:") else None
        tracks = [who.track] if isinstance(who, Hit) else [word.row] if isinstance(word, TrackTerm) else []
        seen = (who.video, who.shot) if isinstance(who, Hit) else None
        whom = None if isinstance(who, Hit) or word else who
        _note(give_name(self.codes, whom, name, tracks=tracks, seen=seen, within=within, weights=self.weights))

    def forget(
        self,
        *,
        track: int | Iterable[int] = (),
        video: Name | Iterable[Name] = (),
        photo: Name | Iterable[Name] = (),
        within: int | None = None,
        name: str | Iterable[str] = (),
        face: int = 1,
        dry_run: bool = False,
    ) -> "list[Removed]":
        """Erase tracks, videos or people so that no ``encode`` brings them back; what was removed, a track each.

        Args:
            track: a row of the codes file, or several, as hits have them.
            video: a video or photo, or several.
            photo: of somebody, or several: all tracks at most ``within`` bits away from one of them.
            within: goes with ``photo``.
            name: of somebody, or several: all tracks that have this name.
            face: which face of a photo, 1 is the largest.
            dry_run: only return what would be removed.

        Raises:
            UsageError: nothing is named, ``photo`` or ``within`` without the other, or a number is out of its range.
            MissingPathError, ShardError: there is no codes file, or it is damaged or being written, or holds no such
                track or video.
            NamesError, PhotoError, NoFaceError, WeightsError: nobody is called so, or a photo cannot be hashed.
        """
        from dhhcli.search.forget import Erasure, forget

        rows = tuple(map(int, _each(track, Integral)))
        request = Erasure(_paths(video), rows, _paths(photo), within, face, _each(name, str))
        removed, notes = forget(self.codes, request, weights=self.weights, dry_run=dry_run)
        _note(notes)
        return removed


def _load(name: str | None, **how: bool) -> "Network":
    from dhhcli.models.network import load_network

    return load_network(name, **how)


def _note(lines: Iterable[str]) -> None:
    for line in lines:
        _log.info("%s", line)


def _each(value: Any, *kinds: type) -> tuple[Any, ...]:
    """One or several -> all of them; kinds: what one is an instance of, as a text is a row of texts too."""
    return (value,) if isinstance(value, kinds) else tuple(value)


def _paths(value: Name | Iterable[Name]) -> tuple[Path, ...]:
    return tuple(Path(one) for one in _each(value, str, PathLike))


def _moment(value: str | date | None, what: str) -> float | None:
    from dhhcli.search.question.scope import moment

    return None if value is None else moment(value if isinstance(value, str) else value.isoformat(), what)


def _words(value: "Who | Iterable[Who]") -> "tuple[Word, ...]":
    from dhhcli.people.identities import Person
    from dhhcli.search.exact import Hit
    from dhhcli.search.question.terms import FileTerm, NameTerm, TrackTerm, parse_word

    words: list[Word] = []
    for one in _each(value, str, PathLike, Hit, Person):
        if isinstance(one, str):
            words.append(parse_word(one))
        elif isinstance(one, Person) and one.name:
            words.append(NameTerm(one.name))
        elif isinstance(one, Hit):
            words.append(TrackTerm(one.track, one.video, one.shot))
        elif isinstance(one, Person):
            words.append(TrackTerm(one.track))
        else:
            words.append(FileTerm(Path(one)))
    return tuple(words)
