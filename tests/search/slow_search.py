"""The slow twin of a search: every track sorted, rule by rule."""

import os
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from footage import TAG

from dhhcli.models.binary_codes import UNIT, soft_codes, unpack
from dhhcli.search.options import Rank
from dhhcli.search.ranking import NO_RULES, Claim, Hit, Rules
from dhhcli.storage.codes_file import Shard


def nearest_row(soft: np.ndarray, bits: np.ndarray, rank: Rank = Rank.bits) -> tuple[float, float]:
    """What one track ranks by and what decides among equals, to the nearest of a person's rows.

    By bits distance and score, by soft bits score and distance.
    """
    pairs: list[tuple[float, float]] = []
    for row in soft:
        differ = [bool(q >= 0.5) != bool(b) for q, b in zip(row, bits, strict=True)]
        if rank is Rank.bits:
            pairs.append((sum(differ), float(np.float32(np.abs(row.astype(np.float64) - bits).sum()))))
        else:
            costs = soft_codes(row[None]).costs[0].tolist()
            pairs.append((sum(cost for cost, wrong in zip(costs, differ, strict=False) if wrong) / UNIT, sum(differ)))
    return min(pairs)


def is_allowed(track: int, rules: Rules) -> bool:
    if rules.allowed is None:
        return True
    if rules.allowed.dtype == bool:
        return bool(rules.allowed[track])
    return any(first <= track < last for first, last in rules.allowed.tolist())


Near = Callable[[np.ndarray, int], tuple[float, float]]  # rows of a person, track -> as `nearest_row`


def slow_search(
    shard: Shard,
    soft: np.ndarray,
    top: int | None,
    rules: Rules = NO_RULES,
    measure: Near | None = None,
    rank: Rank = Rank.soft,
) -> list[Hit]:
    """Every track against every person, one by one; then the rules of the docstrings, word by word.

    measure: how near a track is; by its code if not given, and `rules.keep` is asked about that in any case.
    """
    bits = unpack(shard.codes, shard.tag.bits)

    def by_code(person: np.ndarray, track: int) -> tuple[float, float]:
        return nearest_row(np.asarray(person), bits[track], rank)

    def bits_and_score(near: tuple[float, float]) -> tuple[float, float]:
        return near if rank is Rank.bits else (near[1], near[0])

    near_to = measure or by_code
    rows = shard.track_rows(np.arange(len(shard)))
    wanted = 1 + len(rules.also)
    people = [soft, *rules.also, *rules.without, *rules.never]
    shots: dict[int, dict[int, list[tuple[float, float, int]]]] = {}  # shot -> person -> claims
    for track in range(len(shard)):
        shot = int(rows["shot"][track])
        if not is_allowed(track, rules) or (rules.apart is not None and shot in rules.apart.tolist()):
            continue
        near = [near_to(person, track) for person in people]
        owner = near.index(min(near))
        distance = bits_and_score(near[owner])[0]
        limit = shard.tag.bits if rules.radius is None else rules.radius
        reached = rules.reach is None or near[owner][0] <= rules.reach
        if owner < wanted and distance <= limit and reached:
            shots.setdefault(shot, {}).setdefault(owner, []).append((*near[owner], track))
    found = []
    for shot, claims in shots.items():
        if len(claims) == wanted:
            best = [min(claims[person]) for person in range(wanted)]
            farthest = max((distance, score) for distance, score, _ in best)
            video = shard.videos[rows["video"][best[0][2]]]
            number = int(shard.shots_rows(np.array([shot]))[0]["number"])
            found.append((farthest, os.fsencode(video.path), number, best, shot))
    kept: list[Any] = []
    for row in sorted(found):
        codes = [bits_and_score(by_code(person, claim[2])) for person, claim in zip(people, row[3], strict=False)]
        distances = np.array([[code[0]] for code in codes], np.int32)
        scores = np.array([[code[1]] for code in codes], np.float32)
        if rules.keep is not None and not rules.keep(distances, scores)[0]:
            continue
        if rules.per_video is not None and sum(row[1] == other[1] for other in kept) >= rules.per_video:
            continue
        kept.append(row)
    kept = kept[:top]
    last = kept[-1][0][0] if kept else 0
    return [
        Hit(
            place,
            *bits_and_score(far),
            best[0][2],
            shot,
            sum(claim[0] <= last for claim in shots[shot][0]),
            tuple(Claim(track, *bits_and_score((first, second))) for first, second, track in best),
        )
        for place, (far, _, _, best, shot) in enumerate(kept, start=1)
    ]


def assert_same_hits(found: list[Hit], expected: list[Hit]) -> None:
    def exact(hit: Hit) -> tuple[int | float, ...]:
        claims = (number for claim in hit.claims for number in (claim.track, claim.distance))
        return hit.rank, hit.distance, hit.track, hit.shot, hit.tracks, *claims

    assert [exact(hit) for hit in found] == [exact(hit) for hit in expected]
    assert [hit.score for hit in found] == pytest.approx([hit.score for hit in expected], rel=1e-6)


def soft_bits(rng: np.random.Generator, photos: int, bits: int = TAG.bits) -> np.ndarray:
    """Multiples of 1/8: sums are exact, and soft distances tie as well."""
    return (rng.integers(0, 9, (photos, bits)) / 8).astype(np.float32)


def some_rules(rng: np.random.Generator, shard: Shard) -> Rules:
    """Any rules, each there or not."""

    def people(most: int) -> tuple[np.ndarray, ...]:
        drawn = [soft_bits(rng, int(rng.integers(1, 3))) for _ in range(int(rng.integers(0, most + 1)))]
        stored = unpack(shard.codes[:2], TAG.bits).astype(np.float32) if len(shard) > 1 else np.empty((0, TAG.bits))
        return (*drawn, stored) if len(stored) and rng.random() < 0.3 else tuple(drawn)

    n = len(shard)
    allowed = None
    kind = rng.integers(0, 3)
    if kind == 1:
        allowed = rng.random(n) < 0.6
    elif kind == 2:
        allowed = np.sort(rng.choice(n + 1, 2 * int(rng.integers(0, min(3, (n + 1) // 2 + 1))), replace=False))
        allowed = allowed.reshape(-1, 2).astype(np.int64)
    limit = int(rng.integers(0, 30))

    def keep(distances: np.ndarray, scores: np.ndarray) -> np.ndarray:
        return np.asarray((distances.sum(axis=0) <= limit) | (scores.max(axis=0) < limit / 2))

    return Rules(
        also=people(2) if rng.random() < 0.4 else (),
        without=people(1) if rng.random() < 0.4 else (),
        never=people(2) if rng.random() < 0.4 else (),
        allowed=allowed,
        apart=rng.integers(0, 10, 3) if rng.random() < 0.3 else None,
        radius=int(rng.integers(0, 24)) if rng.random() < 0.3 else None,
        reach=int(rng.integers(0, 24 * UNIT)) / UNIT if rng.random() < 0.3 else None,
        per_video=int(rng.integers(1, 4)) if rng.random() < 0.3 else None,
        keep=keep if rng.random() < 0.3 else None,
    )
