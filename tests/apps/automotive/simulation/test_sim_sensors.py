"""The simulated car's sensors keep their rates, and a simulation that is behind does not fall further behind."""

from __future__ import annotations

from collections.abc import Iterator

from apps.automotive.config import VehicleConfig
from apps.automotive.simulation.scenarios import named_scenario
from apps.automotive.simulation.sensors import TICK_S, Sensors
from apps.automotive.simulation.world import World


def arrivals(sensors: Sensors, behind: Iterator[bool], ticks: int) -> dict[str, int]:
    """Count what arrives from each sensor while the world stands still."""
    world = World(named_scenario("town", 0), VehicleConfig())
    counts: dict[str, int] = {}
    for number in range(ticks):
        world.time_s = number * TICK_S
        came = sensors.tick(number, world.scene(), round(number * TICK_S * 1e9), behind=next(behind))
        for name, readings in came.items():
            counts[name] = counts.get(name, 0) + len(readings)
    return counts


def never() -> Iterator[bool]:
    while True:
        yield False


def but_for_every_tenth() -> Iterator[bool]:
    while True:
        yield from [True] * 9
        yield False


def test_every_sensor_is_read_at_its_own_rate() -> None:
    counts = arrivals(Sensors(0), never(), 100)
    assert 27 <= counts["camera"] <= 30
    assert 9 <= counts["lidar"] <= 10
    assert 18 <= counts["radar"] <= 20
    assert counts["odometry"] >= 97


def test_the_camera_s_rate_can_be_set() -> None:
    assert 8 <= arrivals(Sensors(0, camera_hz=10.0), never(), 100)["camera"] <= 10


def test_what_is_costly_is_read_once_when_the_simulation_has_caught_up() -> None:
    counts = arrivals(Sensors(0), but_for_every_tenth(), 100)
    assert 8 <= counts["camera"] <= 10
    assert counts["odometry"] >= 97
