"""The answer to a study as files: JSON for programs, a page for people, its pictures; and the worklist of all."""

from __future__ import annotations

import base64
import html
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from apps.healthcare.imaging.decide import NOT_A_DEVICE, ImagingOutput, Status, worklist_key
from edgeai_core.alerts.walltime import now
from edgeai_core.errors import InputError
from edgeai_core.topics.message import plain_fields

if TYPE_CHECKING:
    from edgeai_core.loop.cycle import Cycle

STUDY_ID = re.compile(r"[0-9a-f]{32}")
FACTS, PAGE, PICTURE, MAP = "study.json", "page.html", "picture.jpg", "map.jpg"

_WORDS: Mapping[str, str] = {
    Status.FINDING: "Finding",
    Status.NO_FINDING: "Nothing found",
    Status.CANNOT_TELL: "Cannot tell",
    Status.REFUSED: "Refused",
}


class ReportSink:
    """Writes the answer of every study before the journal takes the study as done.

    It writes on the loop's thread on purpose: the input is durable, the next study waits for this one anyway, and
    so no study counts as answered without its answer on the disk. Sent or judged again, its answer is replaced.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def put(self, cycle: Cycle[Any]) -> None:
        """Write the answer that this cycle gives.

        Raises InputError where the disk refuses it: the loop then ends, is started anew and told of by an alert,
        and the study is delivered again.
        """
        decision = cycle.conditions_of
        if not isinstance(decision.output, ImagingOutput) or not decision.output.study:
            return
        try:
            write_report(self._folder, decision.output, decision.live)
        except OSError as error:
            raise InputError(f"{error.filename}: the answer cannot be written: {error.strerror}") from error


def write_report(folder: Path, output: ImagingOutput, live: Mapping[str, Any]) -> Path:
    """Write ``<folder>/<study>/``, the facts last: a reader finds an answer whole or not at all. Raises OSError."""
    place = folder / output.study
    place.mkdir(mode=0o700, parents=True, exist_ok=True)
    pictures = {name: live[key]["bytes"] for key, name in (("picture", PICTURE), ("map", MAP)) if key in live}
    facts = {
        **plain_fields(output),
        **live.get("study", {}),
        "answered_at": now().iso,
        "note": NOT_A_DEVICE,
        "pictured": PICTURE in pictures,
    }
    for name in (PICTURE, MAP):
        if name not in pictures:
            (place / name).unlink(missing_ok=True)
    texts = {PAGE: page(facts, pictures).encode(), FACTS: json.dumps(facts, indent=1).encode()}
    for name, content in {**pictures, **texts}.items():
        fresh = place / f".{name}.new"
        with fresh.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(place / name)
    return place


def read_facts(folder: Path, study: str) -> dict[str, Any] | None:
    """Return what a study's answer says; None where there is none."""
    if not STUDY_ID.fullmatch(study):
        return None
    try:
        facts: dict[str, Any] = json.loads((folder / study / FACTS).read_bytes())
    except (OSError, ValueError):
        return None
    return facts


def worklist(folder: Path, limit: int) -> list[dict[str, Any]]:
    """Return the answers, the most urgent first. Of very many, the newest ``limit`` are looked at."""
    try:
        with os.scandir(folder) as entries:
            known = [
                (each.stat().st_mtime_ns, each.name) for each in entries if STUDY_ID.fullmatch(each.name)
            ]
    except FileNotFoundError:
        return []
    newest = [name for _, name in sorted(known, reverse=True)[:limit]]
    found = [facts for name in newest if (facts := read_facts(folder, name)) is not None]
    return sorted(found, key=worklist_key)


def page(facts: Mapping[str, Any], pictures: Mapping[str, bytes]) -> str:
    """Return one HTML page that stands alone: nothing in it is loaded from anywhere."""
    rows = {
        "Study": facts.get("study"),
        "Reference": facts.get("reference"),
        "Modality": facts.get("modality"),
        "Finding": facts.get("finding"),
        "Probability of a finding": _percent(facts.get("probability")),
        "Reason": facts.get("reason"),
        "On reading": "; ".join(facts.get("notes") or ()),
        "Model": f"{facts.get('model')} {facts.get('version')}" if facts.get("model") else "",
        "Digest of the model (SHA-256)": facts.get("digest"),
        "Answered": facts.get("answered_at"),
    }
    told = "".join(f"<dt>{_text(name)}</dt><dd>{_text(value)}</dd>" for name, value in rows.items() if value)
    by_class = "".join(
        f"<tr><td>{_text(name)}</td><td>{_percent(value)}</td></tr>"
        for name, value in (facts.get("probabilities") or {}).items()
    )
    table = f"<table><caption>Calibrated probabilities</caption>{by_class}</table>" if by_class else ""
    figures = "".join(
        f'<figure><img alt="{_text(word)}" src="data:image/jpeg;base64,{base64.b64encode(pictures[name]).decode()}">'
        f"<figcaption>{_text(word)}</figcaption></figure>"
        for name, word in ((PICTURE, "As judged"), (MAP, "What speaks for the finding"))
        if name in pictures
    )
    return _PAGE.format(
        title=_text(
            f"{_WORDS.get(str(facts.get('status')), '')}: {facts.get('reference') or facts.get('study')}"
        ),
        message=_text(facts.get("message")),
        told=told,
        table=table,
        figures=figures,
        note=_text(NOT_A_DEVICE),
    )


_PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{title}</title>
<style>
body {{ font: 16px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 60rem; padding: 0 1rem;
  color: #14181d; background: #fff }}
h1 {{ font-size: 1.4rem }}
dt {{ color: #55606d; font-size: .85rem }} dd {{ margin: 0 0 .6rem; overflow-wrap: anywhere }}
figure {{ display: inline-block; margin: 0 1rem 1rem 0; max-width: 28rem }} img {{ max-width: 100%; background: #000 }}
td {{ padding: .1rem 1rem .1rem 0 }} caption {{ text-align: left; color: #55606d }}
.note {{ border-left: 4px solid #b26a00; padding-left: .8rem }}
</style>
<h1>{title}</h1><p>{message}</p>{figures}<dl>{told}</dl>{table}<p class="note">{note}</p>
</html>
"""


def _text(value: object) -> str:
    return html.escape("" if value is None else str(value))


def _percent(value: object) -> str:
    return f"{100 * value:.1f} %" if isinstance(value, float) else ""
