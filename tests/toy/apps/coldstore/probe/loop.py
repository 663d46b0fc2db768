"""The wiring: configuration -> loop."""

from __future__ import annotations

from edgeai_core.decision import Decision, Rule
from edgeai_core.loop.snapshot import Snapshot
from edgeai_core.loop.spec import Every, Input, LoopSpec, Parts

from apps.coldstore.config import Config
from apps.coldstore.probe.decide import Output, decide
from apps.coldstore.probe.sources import Thermometer

PROBE: Input[float] = Input("probe", max_age_s=3.0)
UNKNOWN: Decision[Output] = Decision(Output("UNKNOWN"), conditions=None)


def probe_loop(config: Config) -> LoopSpec[Output]:
    """Return the loop that looks at the temperature twice a second."""

    def build() -> Parts[Output]:
        source = Thermometer(config.recording or config.sensor, recorded=config.recording is not None)
        return Parts((source,), step, lambda snapshot, fault: UNKNOWN)

    def step(snapshot: Snapshot) -> Decision[Output]:
        return decide(snapshot[PROBE].data, config.limit_celsius, config.place)

    return LoopSpec(
        name="probe",
        trigger=Every(rate_hz=2),
        inputs=(PROBE,),
        build=build,
        deadline_s=0.2,
        safe=UNKNOWN,
        rules={"TOO_WARM": Rule(raise_after_s=config.patience_s, clear_after_s=config.patience_s)},
    )
