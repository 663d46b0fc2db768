"""Checked candidates -> the one to drive, and why: the only place that weighs, and that knows the alert's words.

Tiers, the first that holds anybody wins, and within it the lowest cost: (1) comfortable, free of what is predicted,
and safe at the worst: a hard brake a moment later meets nobody, whatever others do within reason; (2) the same, as
hard as tyres allow; (3) free of what is predicted, nearest to safe at the worst; (4) nothing is free: least harm.
The idea that every plan must end in a stop that is safe at the worst is that of Pek and Althoff, "Fail-safe motion
planning", IEEE Trans. Robotics 37(3), 2021, and of responsibility-sensitive safety.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, StrEnum

import numpy as np
from numpy.typing import NDArray

from apps.automotive.messages import Plan
from edgeai_core.decision import Condition, Priority


class Tier(IntEnum):
    """How good the best candidate is."""

    SAFE = 1
    HARD = 2
    EXPOSED = 3
    COLLISION = 4


class Code(StrEnum):
    """The conditions of this loop."""

    COLLISION_AHEAD = "COLLISION_AHEAD"
    EMERGENCY_STOP = "EMERGENCY_STOP"
    BLIND_STOP = "BLIND_STOP"


TITLES = {
    Code.COLLISION_AHEAD: "No way around a collision is left",
    Code.EMERGENCY_STOP: "Planning stops the car hard",
    Code.BLIND_STOP: "Planning stops the car: it does not know what is around",
}


@dataclass(frozen=True)
class Table:
    """Candidates as arrays (sides, speeds): what the choice stands on. ``costs`` are by name."""

    comfortable: NDArray[np.bool_]
    possible: NDArray[np.bool_]
    collides: NDArray[np.bool_]
    exposed: NDArray[np.bool_]
    harm: NDArray[np.float64]
    stop: NDArray[np.bool_]
    costs: dict[str, NDArray[np.float64]]


@dataclass(frozen=True)
class Choice:
    """The chosen pair, its tier, and what decided."""

    side: int
    speed: int
    tier: Tier
    reason: str


def choose(table: Table) -> Choice:
    """Return the best candidate. There always is one: the last speed profile is the hardest stop."""
    cost = sum(table.costs.values(), start=np.zeros(table.possible.shape))
    free = table.possible & ~table.collides
    for tier, allowed in (
        (Tier.SAFE, free & ~table.exposed & table.comfortable),
        (Tier.HARD, free & ~table.exposed),
        (Tier.EXPOSED, free),
    ):
        if allowed.any():
            if tier is Tier.EXPOSED:
                cost = table.costs["exposure"] * 100.0 + cost
            side, speed = np.unravel_index(int(np.argmin(np.where(allowed, cost, np.inf))), cost.shape)
            return Choice(
                int(side), int(speed), tier, _reason(table, int(side), int(speed), tier, cost, allowed)
            )
    stops = table.possible | table.stop[None]
    harm = np.where(stops, table.harm + 1e-3 * cost / (1.0 + np.abs(cost)), np.inf)
    side, speed = np.unravel_index(int(np.argmin(harm)), harm.shape)
    return Choice(int(side), int(speed), Tier.COLLISION, "nothing is free: least harm")


def _reason(
    table: Table, side: int, speed: int, tier: Tier, cost: NDArray[np.float64], allowed: NDArray[np.bool_]
) -> str:
    """Say which constraint took the candidate that costs alone would have chosen, or which cost decided."""
    wished = np.unravel_index(int(np.argmin(cost)), cost.shape)
    if (side, speed) != wished and not allowed[wished]:
        if table.collides[wished]:
            return "constraint: another road user is in the way"
        if table.exposed[wished]:
            return "constraint: no safe stop if others do their worst"
        if not table.possible[wished]:
            return "constraint: steering, grip or drive"
        return "constraint: comfort"
    if tier is Tier.EXPOSED:
        return "cost: exposure"
    # Without one of the costs another candidate would have won: that cost decided; the largest such one is named.
    for name in sorted(table.costs, key=lambda each: -float(table.costs[each][side, speed])):
        without = np.where(allowed, cost - table.costs[name], np.inf)
        if int(np.argmin(without)) != side * cost.shape[1] + speed:
            return f"cost: {name}"
    return "cost: progress"


EMERGENCY_MPS2 = 5.0
"""A plan that brakes this hard is worth an alert: nobody plans it unless surprised."""


def conditions(plan: Plan, tier: Tier, vehicle: str = "ego") -> tuple[Condition, ...]:
    """Return what holds: a stop that is harder than a passenger would forgive, a collision that is ahead."""
    evidence = {"reason": plan.reason, "acceleration_mps2": round(plan.acceleration_mps2, 2)}
    if tier is Tier.COLLISION:
        return (
            Condition(Code.COLLISION_AHEAD, vehicle, Priority.HIGH, TITLES[Code.COLLISION_AHEAD], evidence),
        )
    if -plan.acceleration_mps2 >= EMERGENCY_MPS2:
        return (
            Condition(Code.EMERGENCY_STOP, vehicle, Priority.MEDIUM, TITLES[Code.EMERGENCY_STOP], evidence),
        )
    return ()


def blind(why: str, vehicle: str = "ego") -> tuple[Condition, ...]:
    """Return the condition of a plan that only stops, for nothing else can be told."""
    return (Condition(Code.BLIND_STOP, vehicle, Priority.HIGH, TITLES[Code.BLIND_STOP], {"reason": why}),)
