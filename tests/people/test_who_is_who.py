"""People keep their numbers, whatever is said, encoded and forgotten: against a slow model of what each step means."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import combinations, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from whos_who import write_film

from dhhcli.errors import NamesError
from dhhcli.models.binary_codes import hamming
from dhhcli.people.clustering import group_tracks
from dhhcli.people.deciding import confirm_tracks, merge_people, reject_tracks, split_person, undo
from dhhcli.people.identities import find_people
from dhhcli.people.moments import at_once
from dhhcli.people.naming import give_name, take_name
from dhhcli.people.regrouping import group_again
from dhhcli.search.forget import Erasure, forget
from dhhcli.storage.codes_file import open_shard
from dhhcli.storage.merge import merge
from dhhcli.storage.schema import TRACK_DTYPE
from dhhcli.storage.track_id import track_ids
from dhhcli.storage.who.book import open_book, people_in
from dhhcli.storage.who.cast import last_said
from dhhcli.storage.who.journal import people_path, read_journal

WITHIN = 8
SEQUENCES = int(os.environ.get("DHH_SEQUENCES", "50"))


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(os, "fsync", lambda _: None)
    return tmp_path / "codes.h5"


def numbers(path: Path) -> list[int]:
    return [int(number) for number in find_people(path, within=WITHIN).number]


def names(path: Path) -> dict[int, str]:
    return dict(open_book(path).cast.names)


def test_three_groups_are_named_one_after_the_other(path: Path) -> None:
    write_film(path, "m.mov", "A B C D A B C A B A")
    before = numbers(path)
    assert before == [1, 2, 3, 4, 1, 2, 3, 1, 2, 1]
    for number, name in ((3, "Chandler"), (1, "Monica"), (4, "Joey")):
        assert give_name(path, str(number), name, within=WITHIN)[0].startswith(name)
        assert numbers(path) == before
    write_film(path, "a.mov", "B E E E E E E A", content="cd")  # before the other, and E is seen longest
    assert numbers(path) == [2, 5, 5, 5, 5, 5, 5, 1, *before]
    assert names(path) == {3: "Chandler", 1: "Monica", 4: "Joey"}
    assert [person.person for person in find_people(path, within=WITHIN).people] == [5, 1, 2, 3, 4]


def test_several_are_named_at_once_and_their_numbers_mean_them_on(path: Path) -> None:
    write_film(path, "m.mov", "A B C D")
    numbers(path)
    assert give_name(path, ["2", "4", "3"], "John Travolta", within=WITHIN) == ["John Travolta: 3 tracks"]
    assert numbers(path) == [1, 2, 2, 2]
    with pytest.raises(NamesError, match="person 4 is 'John Travolta' already"):
        give_name(path, "4", "Eve", within=WITHIN)
    assert merge_people(path, ["4", 1], within=WITHIN).people == (2,)
    assert numbers(path) == [2, 2, 2, 2]
    assert undo(path).words == ("taken back: that people 2, 1 are one",)
    assert undo(path).words == ("taken back: the name 'John Travolta' of people 2, 4, 3",)
    assert numbers(path) == [1, 2, 3, 4]
    with pytest.raises(NamesError, match="nothing was said"):
        undo(path)


def test_not_this_person_for_ever(path: Path) -> None:
    write_film(path, "m.mov", "A A A B")
    numbers(path)
    with open_shard(path) as shard:
        word = track_ids(shard, np.array([1]))[0]
    assert reject_tracks(path, "1", [word], within=WITHIN).words == ("not person 1: 1 track, now of person 3",)
    assert numbers(path) == [1, 3, 1, 2]
    write_film(path, "a.mov", "A", content="cd")
    number = numbers(path)
    assert number == [1, 1, 3, 1, 2]
    group_again(path, ask=lambda _: True, within=WITHIN)
    assert numbers(path)[2] != numbers(path)[1]
    confirm_tracks(path, "1", [word], within=WITHIN)  # the user has the last word
    assert numbers(path)[2] == 1


def test_a_split_stays_split(path: Path) -> None:
    write_film(path, "m.mov", "A A A B", fresh=1)
    numbers(path)
    assert split_person(path, "1", tracks=[0, 2], within=WITHIN).people == (1, 3)
    assert numbers(path) == [3, 1, 3, 2]
    changes, done = group_again(path, ask=lambda _: True, within=WITHIN)
    assert numbers(path) == [3, 1, 3, 2]
    assert (changes, done) == ([], False)
    merge_people(path, [1, 2], within=WITHIN)
    assert set(split_person(path, 1, within=WITHIN).people) == {1, 4}  # without tracks: the two that are least alike
    assert sorted(numbers(path)) == [1, 3, 3, 4]
    with pytest.raises(NamesError, match="nothing of person 3 would be left"):
        split_person(path, 3, tracks=[0, 2], within=WITHIN)
    with pytest.raises(NamesError, match="track 1 is not of person 3"):
        split_person(path, 3, tracks=[1], within=WITHIN)


def test_two_at_once_are_never_one(path: Path) -> None:
    write_film(path, "m.mov", "A02+A13 A B")
    first = numbers(path)
    assert first[0] != first[1]
    with pytest.raises(NamesError, match="tracks 0 and 1 are seen at once"):
        merge_people(path, first[:2], within=WITHIN)
    confirm_tracks(path, first[2], [0 if first[1] == first[2] else 1], within=WITHIN)  # the unsure one gives way
    now = numbers(path)
    assert now[0] != now[1]
    assert now[2] == now[0 if first[1] == first[2] else 1]


def test_what_was_forgotten_is_in_no_step_and_does_not_come_back(path: Path) -> None:
    write_film(path, "m.mov", "A B A C")
    write_film(path, "n.mov", "A D", content="cd")
    numbers(path)
    give_name(path, "1", "Ada Lovelace", within=WITHIN)
    give_name(path, "2", "Bob", within=WITHIN)
    with open_shard(path) as shard:
        words = [mark.tobytes() for mark in open_book(path).cast.marks]
        assert len(words) == len(shard)
    forget(path, Erasure(names=("Ada Lovelace",)))
    assert b"Ada" not in people_path(path).read_bytes()
    assert len(open_book(path).cast) == 3
    with pytest.raises(NamesError, match="nothing was said"):
        undo(path)
    assert names(path) == {2: "Bob"}
    write_film(path, "a.mov", "A", content="ef")  # who was forgotten is somebody new in another film
    assert numbers(path) == [5, 2, 3, 4]
    with pytest.raises(NamesError, match="person 1 is no more"):
        give_name(path, "1", "Eve", within=WITHIN)
    forget(path, Erasure(videos=(Path("/films/m.mov"), Path("/films/n.mov"), Path("/films/a.mov"))))
    assert len(open_book(path).cast) == 0
    write_film(path, "b.mov", "B", content="aa")
    assert numbers(path) == [6]


def test_killed_in_the_middle_of_a_step_it_was_never_said(path: Path) -> None:
    write_film(path, "m.mov", "A B C")
    numbers(path)
    give_name(path, "1", "Ada", within=WITHIN)
    before = people_path(path).read_bytes()
    give_name(path, "2", "Bob", within=WITHIN)
    whole = people_path(path).read_bytes()
    assert whole.startswith(before)
    for length in range(len(before), len(whole)):
        people_path(path).write_bytes(whole[:length])
        assert names(path) == {1: "Ada"}
    give_name(path, "3", "Cleo", within=WITHIN)
    assert names(path) == {1: "Ada", 3: "Cleo"}
    people_path(path).write_bytes(whole[:-2] + b"#\n")  # the end of a line may come to the disk before its middle
    assert names(path) == {1: "Ada"}
    for bad in (whole.replace(b'"Ada"', b'"Eva"'), whole[: len(before) // 2], whole[1:], b"", whole.split(b"\n")[0]):
        people_path(path).write_bytes(bad)
        with pytest.raises(NamesError, match=r"codes\.h5\.people: damaged"):
            open_book(path)
    people_path(path).write_bytes(whole.replace(b'"version":1', b'"version":2'))
    with pytest.raises(NamesError, match="damaged"):
        open_book(path)


def test_old_steps_are_folded(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dhhcli.storage.who.book.KEPT", 3)
    monkeypatch.setattr("dhhcli.storage.who.book.WORK", 1)
    write_film(path, "m.mov", "A B C D")
    numbers(path)
    said = ["Ann", "Ben", "Cid", "Dan", "Eve", "Fay", "Gus"]
    give_name(path, "1", said[0], within=WITHIN)
    for old, new in pairwise(said):
        give_name(path, old, new)
    assert names(path) == {1: "Gus"}
    assert len(read_journal(path).entries) <= 7
    taken = 0
    while last_said(read_journal(path).entries):
        undo(path)
        taken += 1
        assert names(path) == {1: said[-1 - taken]}
    assert taken >= 3


def test_in_a_large_file_only_neighbours_of_who_is_new_are_looked_at(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_film(path, "m.mov", "A A A A B B B C+D C D E E", fresh=1)
    before = numbers(path)
    monkeypatch.setattr("dhhcli.people.joining.EXACT", 4)
    monkeypatch.setattr("dhhcli.people.joining.NEIGHBOURS", 3)
    monkeypatch.setattr("dhhcli.people.joining.SAMPLE", 2)
    looked = []
    real = group_tracks

    def counted(codes: np.ndarray, *args: Any, **more: Any) -> Any:
        looked.append(len(codes))
        return real(codes, *args, **more)

    monkeypatch.setattr("dhhcli.people.joining.group_tracks", counted)
    write_film(path, "n.mov", "A+F B", content="cd", fresh=1, seed=7)
    assert numbers(path) == [*before, before[0], max(before) + 1, before[4]]
    assert looked[0] < len(before)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32), st.integers(0, 25))
def test_who_is_seen_at_once_as_a_loop_finds_it(seed: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    tracks = np.zeros(n, TRACK_DTYPE)
    tracks["shot"], tracks["start_pts"] = rng.integers(0, 5, n), rng.integers(0, 30, n)
    tracks["end_pts"] = tracks["start_pts"] + rng.integers(0, 10, n)
    expected = [
        [i, j]
        for i, j in combinations(range(n), 2)
        if tracks["shot"][i] == tracks["shot"][j]
        and max(tracks["start_pts"][i], tracks["start_pts"][j]) <= min(tracks["end_pts"][i], tracks["end_pts"][j])
    ]
    assert at_once(tracks).tolist() == expected


def test_merged_files_keep_the_numbers_of_the_first(tmp_path: Path) -> None:
    one, other, out = tmp_path / "one.h5", tmp_path / "other.h5", tmp_path / "out.h5"
    write_film(one, "a.mov", "A B")
    write_film(other, "a.mov", "A B C")  # another content: the same path, so a later version is taken
    write_film(other, "b.mov", "B C", content="cd")
    for path in (one, other):
        numbers(path)
    give_name(one, "1", "Ann", within=WITHIN)
    give_name(other, "2", "Bob", within=WITHIN)
    reject_tracks(other, "3", [4], within=WITHIN)
    merge([one, other], out)
    with open_shard(out) as shard:
        cast = open_book(out).cast
        person, sure = people_in(shard, cast)
    assert len(set(person.tolist())) == len(set(zip("ABBC"[: len(person)], person.tolist(), strict=False)))
    assert set(cast.names.values()) == {"Ann", "Bob"}
    assert sure.sum() >= 2
    assert [number for _, number in cast.never] == [person_of for _, person_of in sorted(cast.never)]


# ------------------------------------------------------------------------------------------------ the slow model


@dataclass
class Track:
    word: str
    letter: str
    video: str
    shot: int
    code: np.ndarray


@dataclass
class Model:
    """What the steps mean, by dictionaries and loops."""

    person: dict[str, int] = field(default_factory=dict)  # track -> number, of those that have one
    sure: set[str] = field(default_factory=set)
    names: dict[int, str] = field(default_factory=dict)
    became: dict[int, int] = field(default_factory=dict)
    never: set[tuple[str, int]] = field(default_factory=set)

    def now(self, number: int) -> int:
        return self.now(self.became[number]) if number in self.became else number

    def of(self, number: int) -> set[str]:
        return {word for word, whose in self.person.items() if whose == number}

    def absorb(self, first: int, other: int) -> None:
        for word in self.of(other):
            self.person[word] = first
        self.became[other] = first
        name = self.names.pop(other, None)
        if name and first not in self.names:
            self.names[first] = name
        self.never = {(word, first if number == other else number) for word, number in self.never}
        self.never -= {(word, first) for word in self.of(first)}

    def tidy(self) -> None:
        self.names = {number: name for number, name in self.names.items() if self.of(number)}


Step = Callable[[Model], None]


class World:
    """A codes file, and the model beside it: steps since the last forgetting, and which a user can take back."""

    def __init__(self, path: Path, seed: int) -> None:
        self.path, self.rng = path, np.random.default_rng(seed)
        self.films = 0
        self.base: Model = Model()
        self.steps: list[tuple[bool, Step]] = []
        self.next = 1
        self.tracks: list[Track] = []

    def model(self) -> Model:
        model = Model(
            dict(self.base.person),
            set(self.base.sure),
            dict(self.base.names),
            dict(self.base.became),
            set(self.base.never),
        )
        for _, step in self.steps:
            step(model)
            model.tidy()
        return model

    def look(self) -> None:
        """What is in the file now."""
        with open_shard(self.path) as shard:
            rows = shard.track_rows(np.arange(len(shard)))
            words = track_ids(shard, np.arange(len(shard)))
            self.tracks = [
                Track(word, "", shard.video(int(row["video"])).fingerprint, int(row["shot"]), shard.codes[at])
                for at, (word, row) in enumerate(zip(words, rows, strict=True))
            ]

    def join(self) -> None:
        """Every new track joins somebody or founds somebody: average linkage by its definition."""
        model = self.model()
        new = [track for track in self.tracks if track.word not in model.person]
        if not new:
            return
        code = np.array([track.code for track in self.tracks])
        far = hamming(code, code)
        at = {track.word: row for row, track in enumerate(self.tracks)}
        people = sorted({model.person[track.word] for track in self.tracks if track.word in model.person})
        groups = [
            (number, frozenset(track.word for track in self.tracks if model.person.get(track.word) == number))
            for number in people
        ] + [(0, frozenset([track.word])) for track in new]

        def apart(a: tuple[int, frozenset[str]], b: tuple[int, frozenset[str]]) -> bool:
            if a[0] and b[0]:
                return True
            if any((word, number) in model.never for number, other in ((a[0], b[1]), (b[0], a[1])) for word in other):
                return True
            shots = {self.tracks[at[word]].shot for word in a[1]} & {self.tracks[at[word]].shot for word in b[1]}
            return bool(shots)  # everybody is seen throughout a shot here

        while True:
            best = None
            for a, b in combinations(groups, 2):
                if not apart(a, b):
                    mean = float(np.mean([far[at[x], at[y]] for x in a[1] for y in b[1]]))
                    if best is None or mean < best[0]:
                        best = (mean, a, b)
            if best is None or best[0] > WITHIN:
                break
            _, a, b = best
            groups = [group for group in groups if group not in (a, b)] + [(a[0] or b[0], a[1] | b[1])]
        founded = [group for group in groups if not group[0]]
        founded.sort(key=lambda group: (-len(group[1]), min(at[word] for word in group[1])))  # all shots last alike
        given: dict[str, int] = {}
        for _, words in founded:
            given |= dict.fromkeys(words, self.next)
            self.next += 1
        for number, words in groups:
            if number:
                given |= {word: number for word in words if word not in model.person}
        self.steps.append(
            (False, lambda model: model.person.update({w: n for w, n in given.items() if w not in model.person}))
        )

    def say(self, step: Step) -> None:
        self.steps.append((True, step))

    def check(self) -> None:
        self.join()
        model = self.model()
        found = find_people(self.path, within=WITHIN)
        assert found.number.tolist() == [model.person[track.word] for track in self.tracks]
        with open_shard(self.path) as shard:
            _, sure = people_in(shard, open_book(self.path).cast)
        assert sure.tolist() == [track.word in model.sure for track in self.tracks]
        assert names(self.path) == model.names
        assert {person.person: person.name for person in found.people} == {
            number: model.names.get(number, "") for number in {model.person[track.word] for track in self.tracks}
        }
        for number, became in model.became.items():
            assert open_book(self.path).cast.now(number) == model.now(became)

    # -------------------------------------------------------------------------------------------- what may happen

    def encode(self) -> None:
        self.films += 1
        name, content = f"{self.rng.choice(list('klmnopq'))}{self.films}.mov", f"{self.films:02x}"
        shots = [
            "+".join(self.rng.choice(list("ABCDE"), int(self.rng.integers(1, 3)), replace=False)) for _ in range(3)
        ]
        write_film(self.path, name, " ".join(shots), content, fresh=2, seed=100 + self.films)
        self.look()

    def some(self, words: Sequence[str], most: int) -> list[str]:
        count = int(self.rng.integers(1, min(most, len(words)) + 1))
        return [str(word) for word in self.rng.choice(list(words), count, replace=False)]

    def anybody(self, most: int = 1) -> list[int]:
        """Numbers that were given some time, whoever they mean now, also nobody."""
        return [int(number) for number in self.rng.integers(1, self.next, int(self.rng.integers(1, most + 1)))]

    def meant(self, given: Sequence[int]) -> list[int] | None:
        model = self.model()
        now = list(dict.fromkeys(model.now(number) for number in given))
        return now if all(model.of(number) for number in now) else None

    def at_once(self, words: set[str]) -> bool:
        shots = [track.shot for track in self.tracks if track.word in words]
        return len(shots) > len(set(shots))

    def name(self) -> None:
        self.join()  # as the program does before it
        given, name = self.anybody(3), str(self.rng.choice(["Ann", "Bob", "Cleo"]))
        now, model = self.meant(given), self.model()
        there = next((number for number, known in model.names.items() if known == name), None)
        whole = None if now is None else list(dict.fromkeys([there, *now] if there else now))
        wrong = now is None or any(model.names.get(number, name) != name for number in now)
        if wrong or whole is None or self.at_once(set().union(*(model.of(number) for number in whole))):
            with pytest.raises(NamesError):
                give_name(self.path, [str(number) for number in given], name, within=WITHIN)
            return
        give_name(self.path, [str(number) for number in given], name, within=WITHIN)

        def step(model: Model) -> None:
            for other in whole[1:]:
                model.absorb(whole[0], other)
            model.sure |= model.of(whole[0])
            model.names[whole[0]] = name

        self.say(step)

    def rename(self) -> None:
        model = self.model()
        for number, name in list(model.names.items())[:1]:
            new = f"{name[0]}{self.films}x"
            if new in model.names.values():
                return
            give_name(self.path, name, new)
            self.say(partial(lambda number, new, model: model.names.update({number: new}), number, new))

    def merge(self) -> None:
        self.join()  # as the program does before it
        given = self.anybody(3)
        now, model = self.meant(given), self.model()
        if (
            now is None
            or len(now) < 2
            or sum(number in model.names for number in now) > 1
            or self.at_once(set().union(*(model.of(number) for number in now)))
        ):
            with pytest.raises(Exception, match=r"person|people|merge|names|one person"):
                merge_people(self.path, given, within=WITHIN)
            return
        merge_people(self.path, given, within=WITHIN)

        def step(model: Model) -> None:
            for other in now[1:]:
                model.absorb(now[0], other)
            model.sure |= model.of(now[0])

        self.say(step)

    def split(self) -> None:
        self.join()  # as the program does before it
        now = self.meant(self.anybody())
        if now is None:
            return
        own = sorted(self.model().of(now[0]) & {track.word for track in self.tracks})
        words = set(self.some(own, len(own))) if own else set()
        if not own or len(words) == len(own):
            return
        new, self.next = self.next, self.next + 1
        assert split_person(self.path, now[0], tracks=sorted(words), within=WITHIN).people == (now[0], new)

        def step(model: Model) -> None:
            model.person |= dict.fromkeys(words, new)
            model.sure |= words
            model.never |= {(word, now[0]) for word in words}

        self.say(step)

    def reject(self) -> None:
        self.join()  # as the program does before it
        now = self.meant(self.anybody())
        if now is None:
            return
        words = set(self.some([track.word for track in self.tracks], 2))

        def step(model: Model) -> None:
            model.never |= {(word, now[0]) for word in words}
            for word in words & model.of(now[0]):
                del model.person[word]
                model.sure.discard(word)

        self.say(step)
        reject_tracks(self.path, now[0], sorted(words), within=WITHIN)
        self.join()

    def confirm(self) -> None:
        self.join()  # as the program does before it
        now = self.meant(self.anybody())
        if now is None:
            return
        words = set(self.some([track.word for track in self.tracks], 2))
        model = self.model()
        sure = words | (model.of(now[0]) & model.sure)
        if self.at_once(sure):
            with pytest.raises(NamesError, match="seen at once"):
                confirm_tracks(self.path, now[0], sorted(words), within=WITHIN)
            return
        shots = {track.shot for track in self.tracks if track.word in words}
        away = {t.word for t in self.tracks if t.shot in shots and t.word in model.of(now[0]) - model.sure - words}

        def step(model: Model) -> None:
            model.person |= dict.fromkeys(words, now[0])
            model.sure |= words
            model.never -= {(word, now[0]) for word in words}
            for word in away:
                del model.person[word]

        self.say(step)
        confirm_tracks(self.path, now[0], sorted(words), within=WITHIN)
        self.join()

    def take(self) -> None:
        model = self.model()
        for number, name in list(model.names.items())[:1]:
            take_name(self.path, name)

            def step(model: Model, number: int = number) -> None:
                model.sure -= model.of(number)
                model.names.pop(number, None)

            self.say(step)

    def undo(self) -> None:
        said = [at for at, (user, _) in enumerate(self.steps) if user]
        if not said:
            with pytest.raises(NamesError, match="nothing was said"):
                undo(self.path)
            return
        undo(self.path)
        del self.steps[said[-1]]

    def forget(self) -> None:
        model = self.model()
        if model.names and self.rng.random() < 0.5:
            number, name = next(iter(model.names.items()))
            gone = model.of(number)
            forget(self.path, Erasure(names=(name,)))
        else:
            number, gone = 0, set(self.some([track.word for track in self.tracks], 2))
            forget(self.path, Erasure(tracks=tuple(sorted(gone))))
        self.look()
        kept = {word: number for word, number in model.person.items() if word not in gone}
        there = set(kept.values())
        became = {old: model.now(old) for old in model.became if model.now(old) in there}
        never = {(word, whom) for word, whom in model.never if word not in gone and whom in there}
        self.base = Model(kept, model.sure - gone, model.names, became, never)
        self.base.tidy()
        self.steps = []


@pytest.mark.parametrize("seed", range(SEQUENCES))
def test_any_sequence_means_what_its_steps_mean(path: Path, seed: int) -> None:
    world = World(path, seed)
    world.encode()
    world.check()
    acts = [world.encode, world.name, world.name, world.merge, world.split, world.reject, world.confirm, world.rename]
    acts += [world.take, world.undo, world.undo, world.forget]
    for _ in range(14):
        if not world.tracks:
            world.encode()
        acts[int(world.rng.integers(len(acts)))]()
        if world.rng.random() < 0.7:  # a step may come before anybody has looked who is new
            world.check()
    world.check()
