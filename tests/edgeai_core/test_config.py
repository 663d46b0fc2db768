"""Configuration: flags, then the environment, then the file, then defaults, and errors that say where."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import BaseModel, ConfigDict, Field

import edgeai_core.config
from edgeai_core.app import App
from edgeai_core.config import load_config
from edgeai_core.errors import ConfigError


class Loop(BaseModel):
    model_config = ConfigDict(extra="forbid")
    rate_hz: float = Field(default=10.0, gt=0)
    lead_names: list[str] = ["I"]


class Config(BaseModel):
    model_config = ConfigDict(extra="forbid")
    patient: str = "unknown"
    ecg: Loop = Loop()


APP = App("clinic", "a ward", Config, loops=lambda config: [])


@pytest.fixture(autouse=True)
def _installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(edgeai_core.config, "app_names", lambda: ["clinic", "works"])


def file(folder: Path, text: str) -> Path:
    path = folder / "site.toml"
    path.write_text(text, encoding="utf-8")
    return path


def load(path: Path | None = None, **flags: str) -> Config:
    config = load_config(APP, path, {name.replace("__", "."): text for name, text in flags.items()})
    assert isinstance(config, Config)
    return config


def test_without_anything_the_defaults_hold() -> None:
    assert load() == Config()


def test_a_flag_wins_over_the_environment_and_that_over_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = file(
        tmp_path,
        '[clinic]\npatient = "file"\n[clinic.ecg]\nrate_hz = 1\nlead_names = ["a"]\n[works]\nx = 1\n',
    )
    assert load(path) == Config(patient="file", ecg=Loop(rate_hz=1, lead_names=["a"]))
    monkeypatch.setenv("EDGEAI_CLINIC__ECG__RATE_HZ", "2")
    assert load(path) == Config(patient="file", ecg=Loop(rate_hz=2, lead_names=["a"]))
    assert load(path, ecg__rate_hz="3", ecg__lead_names='["II", "V1"]') == Config(
        patient="file", ecg=Loop(rate_hz=3, lead_names=["II", "V1"])
    )


def test_an_error_in_the_file_names_file_line_field_and_reason(tmp_path: Path) -> None:
    path = file(tmp_path, '# site\n[clinic]\npatient = "x"\n\n[clinic.ecg]\nrate_hz = "fast"\n')
    with pytest.raises(ConfigError, match=r"site\.toml:6: clinic\.ecg\.rate_hz: .*number.*'fast'"):
        load(path)
    with pytest.raises(ConfigError, match=r"site\.toml:2: clinic\.ecg\.rate_hz: .*greater than 0"):
        load(file(tmp_path, "[clinic]\necg.rate_hz = -1\n"))


@pytest.mark.parametrize(
    ("text", "line"), [("[clinic]\npatent = 1\n", 2), ("[clinic]\n[clinic.ecg]\nrate = 1\n", 3)]
)
def test_an_unknown_key_is_refused(tmp_path: Path, text: str, line: int) -> None:
    with pytest.raises(ConfigError, match=rf"site\.toml:{line}: .*there is no such field"):
        load(file(tmp_path, text))


def test_an_error_in_the_environment_or_a_flag_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match=r"--set clinic\.ecg\.rate_hz: clinic\.ecg\.rate_hz: "):
        load(ecg__rate_hz="fast")
    with pytest.raises(ConfigError, match=r"--set clinic\.colour: .*no such field"):
        load(colour="red")
    monkeypatch.setenv("EDGEAI_CLINIC__ECG__RATE_HZ", "-2")
    with pytest.raises(ConfigError, match="EDGEAI_CLINIC__ECG__RATE_HZ: "):
        load()


def test_an_unknown_variable_of_an_app_is_refused_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEAI_CLINIC__COLOUR", "red")
    with pytest.raises(ConfigError, match=r"EDGEAI_CLINIC__COLOUR: .*no such field"):
        load()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[clinic", "not valid TOML"),
        ("patient = 1", "outside a table"),
        ("[garage]\nx = 1", r"\[garage\] is no installed app \(installed: clinic, works\)"),
    ],
)
def test_a_file_that_is_no_configuration_says_why(tmp_path: Path, text: str, reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        load(file(tmp_path, text))


def test_a_missing_binary_or_huge_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        load(tmp_path / "none.toml")
    (tmp_path / "site.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="not UTF-8"):
        load(tmp_path / "site.toml")
    (tmp_path / "site.toml").write_bytes(b"#" * (1 << 21))
    with pytest.raises(ConfigError, match="at most"):
        load(tmp_path / "site.toml")
