"""A study gets exactly one answer, whatever it is; the answer is on the disk before the study counts as done."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from apps.healthcare.config import ImagingConfig
from apps.healthcare.imaging.decide import Code, ImagingOutput, Status
from apps.healthcare.imaging.inbox import Inbox, study_id
from apps.healthcare.imaging.loop import FAILED, STUDY, ImagingStep, imaging_loop
from apps.healthcare.imaging.pictures import Reason
from apps.healthcare.imaging.report import ReportSink, read_facts, worklist
from apps.healthcare.imaging.sources import Study, StudyInbox
from apps.healthcare.imaging.triage import Answer, StudyTriage
from edgeai_core.alerts.journal import Journal
from edgeai_core.alerts.sink import AlertSink
from edgeai_core.clock import MonotonicClock
from edgeai_core.decision import Decision
from edgeai_core.loop.cycle import Cycle, Fault, FaultKind
from edgeai_core.loop.loop import Loop
from edgeai_core.loop.snapshot import Snapshot, Stages
from edgeai_core.loop.spec import LoopSpec, Parts
from edgeai_core.sample import Sample, View
from tests.apps.healthcare.imaging.conftest import jpeg, phantom, png
from tests.apps.healthcare.imaging.fakes import fake_gate, fake_triage


def study(content: bytes, modality: str | None = None) -> Study:
    return Study(study_id(content), "film-1.png", modality, content, len(content))


def said(triage: StudyTriage, which: Study) -> ImagingOutput:
    return triage.answer(which, Stages()).decision.output


@pytest.mark.parametrize(
    ("logit", "status"), [(4.0, Status.FINDING), (0.0, Status.CANNOT_TELL), (-4.0, Status.NO_FINDING)]
)
def test_a_film_that_passes_the_gate_is_judged_with_picture_and_map(logit: float, status: Status) -> None:
    answer = fake_triage(logit=logit).answer(study(png(phantom())), Stages())
    assert answer.decision.output.status == status
    assert answer.decision.output.digest == "ab" * 32
    for content in (answer.picture, answer.map):
        assert content is not None
        assert cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR).shape == (240, 300, 3)


def test_the_map_colours_the_place_that_speaks_for_the_finding() -> None:
    picture = phantom()
    picture[:, 170:] //= (
        2  # the left half is brighter, so the network's evidence lies there, and mirrored too
    )
    answer = fake_triage().answer(study(png(picture)), Stages())
    assert answer.map is not None
    laid = cv2.imdecode(np.frombuffer(answer.map, np.uint8), cv2.IMREAD_COLOR).astype(int)
    colour = np.ptp(laid, axis=2)
    assert colour[90:130, 30:110].mean() > 3 * colour[90:130, 190:270].mean()


@pytest.mark.parametrize(
    ("gate", "stated", "reason"),
    [
        (fake_gate("foreign"), None, Reason.FOREIGN),
        (fake_gate("xray", distance=1.5), None, Reason.FOREIGN),
        (fake_gate("xray", share=0.4), None, Reason.FOREIGN),
        (fake_gate("turned"), None, Reason.TURNED),
        (fake_gate("cut"), None, Reason.CUT),
        (fake_gate("ct"), "xray", Reason.OTHER_MODALITY),
    ],
)
def test_what_the_gate_does_not_admit_is_refused_with_its_reason(
    gate: object, stated: str | None, reason: Reason
) -> None:
    triage = fake_triage(gate)  # type: ignore[arg-type]
    output = said(triage, study(png(phantom()), stated))
    assert output.status == Status.REFUSED
    assert output.reason == reason
    assert output.message


def test_a_file_that_says_mr_and_looks_like_a_film_is_refused(dicom: Callable[..., bytes]) -> None:
    content = dicom(phantom().astype(np.uint16), Modality="MR")
    assert said(fake_triage(), study(content)).reason == Reason.OTHER_MODALITY


@pytest.mark.parametrize(
    "content", [b"", b"<html>no film</html>", jpeg(cv2.applyColorMap(phantom(), 2)), b"\xff\xd8\xff"]
)
def test_bad_input_is_answered_too(content: bytes) -> None:
    output = said(fake_triage(), study(content))
    assert output.status == Status.REFUSED
    assert output.study == study_id(content)


def test_a_modality_without_a_network_is_refused() -> None:
    output = said(StudyTriage(fake_gate("ct"), {}), study(png(phantom())))
    assert output.reason == Reason.UNSUPPORTED
    assert "no network for a chest CT slice" in output.message


def test_a_file_over_the_limit_is_refused_with_its_size() -> None:
    output = said(fake_triage(), Study("ab" * 16, "huge.dcm", None, b"", 2 << 30))
    assert output.reason == Reason.TOO_LARGE
    assert "2048 MiB" in output.message


class Bench:
    """A whole loop over an inbox, with a journal, reports and networks that say what they are told."""

    def __init__(self, folder: Path, triage: StudyTriage) -> None:
        self.inbox = Inbox(folder / "inbox")
        self.reports = folder / "reports"
        self.journal = folder / "journal.sqlite3"
        self._triage = triage

    def spec(self) -> LoopSpec[ImagingOutput]:
        step = ImagingStep(self._triage)

        def build() -> Parts[ImagingOutput]:
            return Parts((StudyInbox(self.inbox.folder),), step, step.fall_back, (ReportSink(self.reports),))

        return replace(imaging_loop(ImagingConfig()), build=build, deadline_s=60.0)

    def run(self, answers: int) -> list[ImagingOutput]:
        """Run until so many studies have been decided, in whatever way, and settled."""
        spec = self.spec()
        alerts = AlertSink("healthcare", "imaging", spec.rules, self.journal)
        outputs: list[ImagingOutput] = []

        class Watch:
            def put(self, cycle: Cycle[ImagingOutput]) -> None:
                if cycle.decision.output.study:
                    outputs.append(cycle.decision.output)
                if len(outputs) >= answers:
                    loop.stop()

        loop = Loop(spec, spec.build(), MonotonicClock(), sinks=[alerts, Watch()], ledger=alerts)
        loop.run()
        alerts.close()
        return outputs


def test_every_study_is_answered_once_with_report_and_alert_and_leaves_the_queue(tmp_path: Path) -> None:
    bench = Bench(tmp_path, fake_triage())
    for number in range(3):
        bench.inbox.put(png(phantom(seed=number)), f"film-{number}.png", "xray")
    bench.inbox.put(b"<html>", "page.dcm", None)
    outputs = bench.run(4)
    assert [each.reference for each in outputs] == ["film-0.png", "film-1.png", "film-2.png", "page.dcm"]
    assert [each["status"] for each in worklist(bench.reports, 10)] == ["FINDING"] * 3 + ["REFUSED"]
    journal = Journal(bench.journal, read_only=True)
    codes = sorted(alert.code for alert in journal.open_alerts())
    journal.close()
    assert codes == [Code.PNEUMONIA] * 3 + [Code.REFUSED]


def test_a_study_whose_answer_was_not_committed_is_answered_again_and_stays_one_alert(tmp_path: Path) -> None:
    bench = Bench(tmp_path, fake_triage())
    content = png(phantom())
    for _ in range(2):  # sent a second time after it had been answered
        bench.inbox.put(content, "film.png", "xray")
        bench.run(1)
    journal = Journal(bench.journal, read_only=True)
    alerts = journal.open_alerts()
    journal.close()
    assert len(alerts) == 1
    assert len(worklist(bench.reports, 10)) == 1


class Broken(StudyTriage):
    """One that fails at one study."""

    def answer(self, study: Study, stages: Stages) -> Answer:
        if study.reference == "bad":
            raise RuntimeError("cannot")
        return super().answer(study, stages)


def test_a_study_that_makes_the_program_fail_is_refused_and_the_next_one_is_answered(tmp_path: Path) -> None:
    bench = Bench(tmp_path, fake_triage(kind=Broken))
    spec = bench.spec()
    bench.spec = lambda: replace(spec, trigger=replace(spec.trigger, idle_s=0.01))  # type: ignore[method-assign,type-var]
    bench.inbox.put(png(phantom(seed=1)), "bad", "xray")
    bench.inbox.put(png(phantom(seed=2)), "good", "xray")
    outputs = bench.run(2)
    assert [(each.reference, each.status, each.reason) for each in outputs] == [
        ("bad", Status.REFUSED, FAILED),
        ("good", Status.FINDING, ""),
    ]
    assert read_facts(bench.reports, outputs[0].study) is not None


def test_a_fallback_that_is_no_refusal_says_nothing_of_a_study() -> None:
    step = ImagingStep(fake_triage())
    which = study(png(phantom()))
    sample = Sample(which, 0, 0, 1)
    for kind in FaultKind:
        decision: Decision[ImagingOutput] = step.fall_back(
            Snapshot(0, 0, 0, 0, {STUDY.source: View((sample,), 0)}), Fault(kind, "slow")
        )
        assert decision.conditions is None
        assert decision.output.study == ""


def test_the_report_names_model_version_and_digest_and_shows_no_markup_of_a_sender(tmp_path: Path) -> None:
    bench = Bench(tmp_path, fake_triage())
    bench.inbox.put(png(phantom()), "<script>alert(1)</script>", "xray")
    (output,) = bench.run(1)
    place = bench.reports / output.study
    text = (place / "page.html").read_text()
    for word in ("imaging-xray 9.9", "ab" * 32, "Not a medical device", "Pneumonia suspected"):
        assert word in text
    assert "<script" not in text
    facts = json.loads((place / "study.json").read_text())
    assert facts["digest"] == "ab" * 32
    assert facts["probabilities"]["pneumonia"] == pytest.approx(0.982, abs=0.001)
    assert (place / "picture.jpg").exists()
    assert (place / "map.jpg").exists()


def test_a_specification_costs_no_numpy() -> None:
    import subprocess
    import sys

    code = (
        "import sys; from apps.healthcare.imaging.loop import imaging_loop; "
        "from apps.healthcare.config import ImagingConfig; imaging_loop(ImagingConfig()); "
        "sys.exit(any(name in sys.modules for name in ('numpy', 'cv2', 'onnxruntime', 'pydicom')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
