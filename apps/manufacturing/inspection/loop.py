"""The inspection loop: released by each picture, it judges the part, counts it, and says what is worth an alert."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from apps.manufacturing.config import InspectionConfig
from apps.manufacturing.inspection.decide import (
    CAMERA,
    Code,
    InspectionOutput,
    PartResult,
    condition,
    verdict_of,
)
from edgeai_core.decision import Condition, Decision, Rule
from edgeai_core.errors import InputError
from edgeai_core.loop.cycle import Fault, FaultKind
from edgeai_core.loop.snapshot import Snapshot
from edgeai_core.loop.spec import Input, LoopSpec, On, Parts
from edgeai_core.sensors.picture import Picture

if TYPE_CHECKING:
    from apps.manufacturing.inspection.inspector import Inspected, Inspector
    from apps.manufacturing.inspection.watch import CameraWatch, Counter, StillPart
    from edgeai_core.loop.spec import Sink
    from edgeai_core.vision.usual import Usual

TASK = "manufacturing.inspection"
DEADLINE_S = 0.25
DEPTH = 32
"""So many pictures may wait; the oldest are lost, and counted, when more come."""

SIMULATED_MODEL = Path(__file__).parent / "models" / "flange"
"""Taught on the simulated parts."""

_THUMBNAIL_PX = 192


def inspection_loop(config: InspectionConfig) -> LoopSpec[InspectionOutput]:
    """Return the specification of the loop; nothing is opened or loaded before ``build``."""
    pictures = picture_input(config)
    lasting = Rule(raise_after_s=0.0, clear_after_s=2.0)
    return LoopSpec(
        name="inspection",
        trigger=On(pictures, idle_s=1.0),
        inputs=(pictures,),
        build=lambda: _build(config, pictures),
        deadline_s=DEADLINE_S,
        safe=Decision(InspectionOutput(config.line, "cannot tell"), conditions=None),
        rules=dict.fromkeys(Code, lasting),
    )


def picture_input(config: InspectionConfig) -> Input[Picture]:
    """Return the input of pictures, which is silent after as long as the configuration says."""
    return Input("camera", history="new", depth=DEPTH, max_age_s=config.silent_after_s)


def _build(config: InspectionConfig, pictures: Input[Picture]) -> Parts[InspectionOutput]:
    """Open source and model. Imports here, so that a specification costs no numpy."""
    from apps.manufacturing.inspection.inspector import open_inspector
    from apps.manufacturing.inspection.sources import picture_source
    from apps.manufacturing.inspection.watch import CameraWatch, Counter, StillPart
    from edgeai_core.runners.store import current_folder
    from edgeai_core.state import find_state

    inspector = open_inspector(config.model or current_folder(find_state(), TASK) or SIMULATED_MODEL)
    step = InspectionStep(
        config,
        pictures,
        inspector,
        CameraWatch(usual_of(inspector)),
        Counter(config.usual_reject_rate),
        StillPart() if config.trigger == "change" else None,
    )
    return Parts((picture_source(config),), step, step.fall_back, _sinks(config))


def _sinks(config: InspectionConfig) -> tuple[Sink, ...]:
    """Evidence is kept of a camera's parts; of a recording or a simulation only where a folder is named."""
    from apps.manufacturing.inspection.evidence import EvidenceSink
    from edgeai_core.state import find_state

    live = bool(config.camera.device or config.camera.command)
    if not live and config.evidence is None:
        return ()
    folder = config.evidence or find_state().evidence / "manufacturing.inspection"
    return (EvidenceSink(folder, int(config.evidence_mb * 1e6), "camera"),)


def usual_of(inspector: Inspector) -> Usual | None:
    """Return how the camera's pictures usually are, where the model's card says it."""
    import numpy as np

    from edgeai_core.vision.usual import THUMBNAIL_PX, Usual

    known = inspector.card.parameters
    thumbnail = known.get("usual_thumbnail")
    if not isinstance(thumbnail, list) or len(thumbnail) != THUMBNAIL_PX**2:
        return None
    card = inspector.card
    pixels = np.array(thumbnail, np.float32).reshape(THUMBNAIL_PX, THUMBNAIL_PX)
    return Usual(card.number("usual_brightness"), card.number("usual_sharpness"), pixels)


class InspectionStep:
    """The step and its fallback."""

    def __init__(
        self,
        config: InspectionConfig,
        pictures: Input[Picture],
        inspector: Inspector,
        watch: CameraWatch,
        counter: Counter,
        still: StillPart | None,
    ) -> None:
        self._config, self._pictures, self._inspector = config, pictures, inspector
        self._watch, self._counter, self._still = watch, counter, still
        self._simulated = False
        self._output = InspectionOutput(config.line, "cannot tell")
        self._conditions: tuple[Condition, ...] | None = None

    def __call__(self, snapshot: Snapshot) -> Decision[InspectionOutput]:
        """Judge the parts that have come, and decide."""
        parts: list[PartResult] = []
        live: dict[str, object] = {}
        for sample in snapshot[self._pictures].samples:
            picture = sample.data
            self._simulated = picture.simulated
            with snapshot.stages.stage("camera"):
                trouble = self._watch.look(picture.pixels)
            if self._still is not None and not self._still.arrived(picture.pixels):
                continue
            with snapshot.stages.stage("judge"):
                inspected = None if trouble else self._judge(picture)
            part = self._part(picture, inspected, sample.time_ns / 1e9)
            self._counter.count(part)
            parts.append(part)
            self._conditions = self._holding(trouble)
            live = {"part": self._live(picture, part, inspected)}
        if parts:
            last = parts[-1]
            self._output = InspectionOutput(
                self._config.line, last.verdict, last.quality, last.confidence, last.defects, last.time_s,
                tuple(parts), self._counter.tally, self._simulated,
            )  # fmt: skip
            return Decision(self._output, self._conditions, live)
        return Decision(self._without_parts(), self._conditions)

    def fall_back(self, snapshot: Snapshot, fault: Fault) -> Decision[InspectionOutput]:
        """Say that nothing can be told; that no pictures come is a condition, and what stood stands."""
        output = InspectionOutput(
            self._config.line, "cannot tell", tally=self._counter.tally, simulated=self._simulated
        )
        if fault.kind is not FaultKind.STALE:
            return Decision(output, conditions=None)
        kept = tuple(each for each in self._conditions or () if each.code not in (*CAMERA, Code.NO_PICTURES))
        return Decision(
            output, (*kept, condition(Code.NO_PICTURES, self._config.line, {"cause": fault.cause}))
        )

    def _judge(self, picture: Picture) -> Inspected | None:
        try:
            return self._inspector.inspect(picture.pixels)
        except InputError:
            return None

    def _part(self, picture: Picture, inspected: Inspected | None, time_s: float) -> PartResult:
        number = self._counter.tally.parts + 1
        if inspected is None:
            return PartResult(number, picture.name, "cannot tell", None, None, (), time_s)
        verdict, confidence = verdict_of(inspected.quality, self._config.pass_quality)
        defects = inspected.defects if verdict == "reject" else ()
        return PartResult(number, picture.name, verdict, inspected.quality, confidence, defects, time_s)

    def _holding(self, trouble: tuple[Code, ...]) -> tuple[Condition, ...]:
        line, tally, chart = self._config.line, self._counter.tally, self._counter.chart
        found = [condition(code, line) for code in trouble]
        if tally.run_of_rejects >= self._config.run_length:
            found.append(condition(Code.RUN_OF_REJECTS, line, {"rejects_in_a_row": tally.run_of_rejects}))
        if chart.alarm:
            evidence: dict[str, object] = {
                "usual_share": chart.usual,
                "rejected": tally.rejected,
                "parts": tally.parts,
            }
            found.append(condition(Code.REJECT_RATE_DRIFT, line, evidence))
        return tuple(found)

    def _without_parts(self) -> InspectionOutput:
        from dataclasses import replace

        return replace(self._output, parts=())

    def _live(self, picture: Picture, part: PartResult, inspected: Inspected | None) -> dict[str, Any]:
        from dataclasses import asdict

        from apps.manufacturing.inspection.shown import thumbnail

        return {
            "line": self._config.line,
            "number": part.number,
            "name": part.name,
            "verdict": part.verdict,
            "quality": part.quality,
            "confidence": part.confidence,
            "defects": [asdict(each) for each in part.defects],
            "picture": thumbnail(picture.pixels, _THUMBNAIL_PX),
            "width": picture.pixels.shape[1],
            "height": picture.pixels.shape[0],
            "heat": None if inspected is None else heat_rows(inspected),
            "tally": asdict(self._counter.tally),
            "pass_quality": self._config.pass_quality,
            "simulated": self._simulated,
            "replayed": self._config.recording is not None,
        }


def heat_rows(inspected: Inspected) -> list[list[int]]:
    """Return the heat map as rows of percents of the limit, 0 to 200: what a page draws over the picture."""
    import numpy as np

    rows: list[list[int]] = np.clip(inspected.heat * 100, 0, 200).astype(int).tolist()
    return rows
