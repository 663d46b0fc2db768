"""Scenarios: named ones for people, and families of seeded ones for evaluations.

The ranges are choices, not statistics: they span what a driver meets in years, and much of it is hard. Decelerations
of others reach 8 m/s^2 (a full stop on dry asphalt), pedestrians walk at 1 to 2 m/s and step out 2.2 to 4.5 s ahead
of the ego, cut-ins come as close as 4 m.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from apps.automotive.messages import ObjectKind
from apps.automotive.simulation.road import Bend, RoadMap
from apps.automotive.simulation.traffic import Actor, Behaviour, Event
from apps.automotive.simulation.world import Scenario

TOWN_MPS, COUNTRY_MPS, MOTORWAY_MPS = 13.9, 22.2, 30.0
BEND_MPS2 = 1.8
"""Bends are built for this lateral acceleration at the speed limit."""

Draw = np.random.Generator


def random_scenario(seed: int) -> Scenario:
    """Return one of the endless scenarios of the planning suite; equal seeds give equal ones."""
    names = list(FAMILIES)
    name = names[seed % len(names)]
    return FAMILIES[name](np.random.default_rng([seed, 1]))


def named_scenario(name: str, seed: int) -> Scenario:
    """Return a scenario for people to watch."""
    return NAMED[name](np.random.default_rng([seed, 2]))


def benign_scenario(seed: int, duration_s: float = 120.0) -> Scenario:
    """Return ordinary traffic in which nobody needs an emergency brake; the first actor is the ego's own car."""
    rng = np.random.default_rng([seed, 3])
    limit = float(rng.choice([TOWN_MPS, COUNTRY_MPS, MOTORWAY_MPS]))
    lanes = (
        1
        if limit == COUNTRY_MPS
        else int(rng.integers(1, 4))
        if limit == TOWN_MPS
        else int(rng.integers(2, 4))
    )
    road = _road(rng, lanes, limit, length_m=limit * duration_s + 800.0)
    lane = int(rng.integers(0, lanes))
    own = Actor(
        ObjectKind.CAR, 80.0, lane * road.lane_width_m, 0.8 * limit, desired_mps=limit * rng.uniform(0.9, 1.05),
        headway_s=rng.uniform(0.9, 1.8), changes_lanes=lanes > 1, size_m=(4.6, 1.9, 1.5),
    )  # fmt: skip
    others = _platoon(rng, road, limit, ego_lane=lane, count=int(rng.integers(4, 14)))
    calm = [_with_mild_brake(rng, actor) for actor in others]
    return Scenario(
        "benign", road, (own, *calm, *_roadside(rng, road, limit)), own.speed_mps, 80.0, lane, duration_s
    )


# ---------------------------------------------------------------- families of the suite


def _hard_brake(rng: Draw) -> Scenario:
    road, limit = _some_road(rng)
    lane = int(rng.integers(0, road.lanes))
    speed = limit * rng.uniform(0.6, 1.0)
    gap = 4.0 + speed * rng.uniform(0.8, 2.5)
    stop = Event("brake", rng.uniform(5.0, 8.0), 20.0, at_s=rng.uniform(2.0, 8.0))
    lead = _car(rng, road, 80.0 + gap + 5.0, lane, speed, event=stop)
    behind = _car(rng, road, 80.0 - speed * 2.0 - 8.0, lane, speed)
    return Scenario(
        "hard_brake", road, (lead, behind, *_beside(rng, road, lane, limit)), speed, 80.0, lane, 15.0
    )


def _cut_in(rng: Draw) -> Scenario:
    road, limit = _some_road(rng, least_lanes=2)
    lane = int(rng.integers(0, road.lanes))
    other = lane + 1 if lane == 0 or (lane + 1 < road.lanes and rng.random() < 0.5) else lane - 1
    speed = limit * rng.uniform(0.7, 1.0)
    its = speed * rng.uniform(0.55, 0.95)
    gap = rng.uniform(4.0, 20.0) + 0.6 * (speed - its)
    event = Event("lane", lane * road.lane_width_m, rng.uniform(2.5, 4.0), gap_m=gap)
    start = 80.0 + 6.0 + gap + (speed - its) * rng.uniform(2.0, 6.0)
    intruder = _car(rng, road, start, other, its, event=event)
    return Scenario("cut_in", road, (intruder,), speed, 80.0, lane, 15.0)


def _standing(rng: Draw) -> Scenario:
    road, limit = _some_road(rng)
    lane = int(rng.integers(0, road.lanes))
    kind = ObjectKind.TRUCK if rng.random() < 0.3 else ObjectKind.CAR
    away = rng.uniform(70.0, 200.0) + limit * 2.0
    d_m = lane * road.lane_width_m + rng.uniform(-0.8, 0.8)
    still = Actor(kind, 80.0 + away, d_m, behaviour=Behaviour.STAND)
    return Scenario(
        "standing",
        road,
        (still, *_beside(rng, road, lane, limit)),
        limit * rng.uniform(0.7, 1.0),
        80.0,
        lane,
        20.0,
    )


def _pedestrian(rng: Draw) -> Scenario:
    road = _road(rng, int(rng.integers(1, 3)), TOWN_MPS)
    lane = int(rng.integers(0, road.lanes))
    from_left = rng.random() < 0.4
    edge = (
        (road.lanes - 0.5) * road.lane_width_m + rng.uniform(0.8, 2.5)
        if from_left
        else -1.75 - rng.uniform(0.8, 2.5)
    )
    heading = -np.pi / 2 if from_left else np.pi / 2
    event = Event("cross", gap_s=rng.uniform(2.2, 4.5))
    walker = Actor(
        ObjectKind.PEDESTRIAN, 80.0 + rng.uniform(60.0, 120.0), edge, 0.0, Behaviour.CROSS, rng.uniform(1.0, 2.0),
        heading_rad=heading, event=event,
    )  # fmt: skip
    idle = [
        Actor(ObjectKind.PEDESTRIAN, 80.0 + rng.uniform(20.0, 200.0), -1.75 - rng.uniform(1.0, 3.0),
              rng.uniform(0.8, 1.6), Behaviour.STEADY, heading_rad=float(rng.choice([0.0, np.pi])))
        for _ in range(int(rng.integers(0, 4)))
    ]  # fmt: skip
    return Scenario("pedestrian", road, (walker, *idle), TOWN_MPS * rng.uniform(0.6, 1.0), 80.0, lane, 20.0)


def _cyclist(rng: Draw) -> Scenario:
    road = _road(rng, int(rng.integers(1, 3)), TOWN_MPS)
    if rng.random() < 0.5:
        event = Event("cross", gap_s=rng.uniform(2.5, 4.5))
        rider = Actor(
            ObjectKind.CYCLIST, 80.0 + rng.uniform(60.0, 120.0), -1.75 - rng.uniform(1.5, 4.0), 0.0, Behaviour.CROSS,
            rng.uniform(2.0, 4.0), heading_rad=np.pi / 2, event=event,
        )  # fmt: skip
    else:
        swerve = Event("lane", rng.uniform(-0.6, 0.4), 2.0, gap_s=rng.uniform(1.5, 4.0))
        speed = rng.uniform(3.0, 6.0)
        rider = Actor(
            ObjectKind.CYCLIST, 80.0 + rng.uniform(40.0, 100.0), rng.uniform(-1.6, -0.8), speed, desired_mps=speed,
            event=swerve,
        )  # fmt: skip
    return Scenario("cyclist", road, (rider,), TOWN_MPS * rng.uniform(0.6, 1.0), 80.0, 0, 20.0)


def _slow_ahead(rng: Draw) -> Scenario:
    road = _road(rng, int(rng.integers(2, 4)), MOTORWAY_MPS)
    speed = MOTORWAY_MPS * rng.uniform(0.8, 1.0)
    truck = Actor(ObjectKind.TRUCK, 80.0 + rng.uniform(60.0, 140.0), 0.0, 22.0, desired_mps=22.0)
    fast = _car(rng, road, 80.0 - rng.uniform(15.0, 90.0), 1, speed * rng.uniform(1.0, 1.2))
    return Scenario(
        "slow_ahead", road, (truck, fast, *_beside(rng, road, 0, MOTORWAY_MPS)), speed, 80.0, 0, 20.0
    )


def _jam_end(rng: Draw) -> Scenario:
    road, limit = _some_road(rng)
    start = 80.0 + rng.uniform(120.0, 220.0) + limit * 2.0
    queue = [
        Actor(
            ObjectKind.TRUCK if rng.random() < 0.2 else ObjectKind.CAR,
            start + rng.uniform(0.0, 6.0) + 16.0 * place, lane * road.lane_width_m, behaviour=Behaviour.STAND,
        )
        for lane in range(road.lanes) for place in range(3)
    ]  # fmt: skip
    return Scenario(
        "jam_end", road, tuple(queue), limit * rng.uniform(0.8, 1.0), 80.0, int(rng.integers(0, road.lanes))
    )


def _dense(rng: Draw) -> Scenario:
    road, limit = _some_road(rng, least_lanes=2)
    lane = int(rng.integers(0, road.lanes))
    actors = [
        _with_brake(rng, actor, 3.0, 6.0, share=0.25)
        for actor in _platoon(rng, road, limit * 0.8, ego_lane=lane, count=int(rng.integers(8, 16)))
    ]
    return Scenario("dense", road, tuple(actors), 0.8 * limit, 80.0, lane, 20.0)


FAMILIES: Mapping[str, Callable[[Draw], Scenario]] = {
    "hard_brake": _hard_brake,
    "cut_in": _cut_in,
    "standing": _standing,
    "pedestrian": _pedestrian,
    "cyclist": _cyclist,
    "slow_ahead": _slow_ahead,
    "jam_end": _jam_end,
    "dense": _dense,
}


# ---------------------------------------------------------------- for people


def _long(
    rng: Draw, limit: float, lanes: int, event: Callable[[Draw, Actor], Actor] | None = None
) -> Scenario:
    road = _road(rng, lanes, limit, length_m=3000.0)
    actors = _platoon(rng, road, limit, ego_lane=0, count=4 + 3 * lanes)
    if event is not None:
        actors = [event(rng, actor) for actor in actors]
    return Scenario("long", road, (*actors, *_roadside(rng, road, limit)), 0.7 * limit, 80.0, 0, 90.0)


def _town(rng: Draw) -> Scenario:
    base = _long(rng, TOWN_MPS, 2)
    crossing = [
        Actor(
            ObjectKind.PEDESTRIAN, at, -3.2, 0.0, Behaviour.CROSS, 1.4, heading_rad=np.pi / 2,
            event=Event("cross", gap_s=3.2),
        )
        for at in (260.0, 520.0, 800.0)
    ]  # fmt: skip
    stopped = Actor(ObjectKind.CAR, 400.0, -0.3, behaviour=Behaviour.STAND)
    return Scenario("town", base.road, (*base.actors, *crossing, stopped), base.speed_mps, 80.0, 0, 90.0)


def _motorway(rng: Draw) -> Scenario:
    return _long(rng, MOTORWAY_MPS, 3, lambda r, actor: _with_brake(r, actor, 2.0, 5.0, share=0.2))


NAMED: Mapping[str, Callable[[Draw], Scenario]] = {
    "motorway": _motorway,
    "town": _town,
    "country": lambda rng: _long(rng, COUNTRY_MPS, 1),
    "pedestrian": _pedestrian,
    "jam_end": _jam_end,
    "cut_in": _cut_in,
}


# ---------------------------------------------------------------- what they are made of


def _road(rng: Draw, lanes: int, limit_mps: float, length_m: float = 1200.0) -> RoadMap:
    most = min(BEND_MPS2 / limit_mps**2, 0.02)
    bends, built = [Bend(60.0)], 60.0
    straight = rng.random() < 0.4
    while built < length_m:
        bend = Bend(
            rng.uniform(80.0, 250.0), 0.0 if straight else rng.choice([0.0, 1.0]) * rng.uniform(-most, most)
        )
        bends.append(bend)
        built += bend.length_m
    return RoadMap(bends, lanes=lanes, speed_limit_mps=limit_mps)


def _some_road(rng: Draw, least_lanes: int = 1) -> tuple[RoadMap, float]:
    limit = float(rng.choice([TOWN_MPS, COUNTRY_MPS, MOTORWAY_MPS]))
    lanes = max(int(rng.integers(1, 4)), least_lanes)
    return _road(rng, lanes, limit), limit


def _car(
    rng: Draw, road: RoadMap, s_m: float, lane: int, speed_mps: float, event: Event | None = None
) -> Actor:
    kind = ObjectKind.TRUCK if rng.random() < 0.15 else ObjectKind.CAR
    return Actor(
        kind, s_m + (4.0 if kind == ObjectKind.TRUCK else 0.0), lane * road.lane_width_m, speed_mps,
        desired_mps=max(speed_mps, 3.0), headway_s=rng.uniform(0.9, 1.8), event=event,
    )  # fmt: skip


def _beside(rng: Draw, road: RoadMap, lane: int, limit: float) -> list[Actor]:
    """Return some cars in the other lanes, with room around the ego's start."""
    return [
        _car(rng, road, 80.0 + rng.uniform(-60.0, 100.0), other, limit * rng.uniform(0.75, 1.0))
        for other in range(road.lanes)
        if other != lane and rng.random() < 0.6
    ]


def _platoon(rng: Draw, road: RoadMap, speed: float, *, ego_lane: int, count: int) -> list[Actor]:
    """Return drivers in all lanes from behind the ego to far ahead of it, at least 1.2 s apart in each lane."""
    actors: list[Actor] = []
    free_from = [80.0 - 70.0 + rng.uniform(0.0, 20.0) for _ in range(road.lanes)]
    for _ in range(count):
        lane = int(rng.integers(0, road.lanes))
        own = speed * rng.uniform(0.75, 1.0)
        s = free_from[lane] + rng.uniform(0.0, 25.0)
        near = 15.0 + 1.2 * speed
        if lane == ego_lane and abs(s - 80.0) < near:
            s = 80.0 + near + rng.uniform(0.0, 20.0)
        truck = rng.random() < 0.15
        actors.append(
            Actor(
                ObjectKind.TRUCK if truck else ObjectKind.CAR, s + (4.0 if truck else 0.0), lane * road.lane_width_m,
                own, desired_mps=speed * rng.uniform(0.8, 1.1), headway_s=rng.uniform(0.9, 1.8),
                changes_lanes=bool(rng.random() < 0.5),
            )
        )  # fmt: skip
        free_from[lane] = s + 14.0 + 1.2 * speed
    return actors


def _with_brake(rng: Draw, actor: Actor, low: float, high: float, share: float) -> Actor:
    from dataclasses import replace

    if rng.random() > share:
        return actor
    event = Event("brake", rng.uniform(low, high), rng.uniform(1.0, 4.0), at_s=rng.uniform(2.0, 60.0))
    return replace(actor, event=event)


def _with_mild_brake(rng: Draw, actor: Actor) -> Actor:
    return _with_brake(rng, actor, 1.0, 3.5, share=0.4)


_PARKED_APART_M = 6.0
"""From middle to middle: a car's length and room to leave."""


def _roadside(rng: Draw, road: RoadMap, limit: float) -> list[Actor]:
    """Return posts, parked cars, people on the pavement and oncoming traffic along the whole road."""
    length = road.path.length_m
    left = (road.lanes - 0.5) * road.lane_width_m
    things = [
        Actor(
            ObjectKind.UNKNOWN,
            s,
            float(rng.choice([-1.75 - 1.2, left + 1.2 + 3.5])),
            behaviour=Behaviour.STAND,
        )
        for s in np.arange(60.0, length, 50.0) + rng.uniform(-10, 10)
    ]
    if limit <= TOWN_MPS:
        places = np.sort(rng.uniform(60.0, length, int(length / 60.0)))
        things += [
            Actor(ObjectKind.CAR, s, -1.75 - 1.1, behaviour=Behaviour.STAND)
            for s in places[np.diff(places, prepend=0.0) > _PARKED_APART_M]
        ]
        things += [
            Actor(ObjectKind.PEDESTRIAN, s, -1.75 - rng.uniform(2.2, 4.0), rng.uniform(0.8, 1.6), Behaviour.STEADY,
                  heading_rad=float(rng.choice([0.0, np.pi])))
            for s in rng.uniform(60.0, length, int(length / 80.0))
        ]  # fmt: skip
    if road.lanes == 1:
        things += [
            Actor(ObjectKind.CAR, s, road.lane_width_m, limit * rng.uniform(0.8, 1.0), Behaviour.STEADY,
                  heading_rad=np.pi)
            for s in np.arange(200.0, 2.0 * length, limit * 6.0) + rng.uniform(-20, 20)
        ]  # fmt: skip
    return things
