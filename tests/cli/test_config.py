"""dhh.toml gives defaults, dhh doctor says what is wrong, the shell is offered people's names."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from footage import copy_of
from typer.main import get_command
from typer.testing import CliRunner, Result

from dhhcli.cli.app import app
from dhhcli.cli.completion import names_beside, who
from dhhcli.cli.config import read_config
from dhhcli.errors import UsageError
from dhhcli.media.files import decoders
from dhhcli.media.sample import Sample
from dhhcli.output import health

Run = Callable[..., Result]


def test_defaults_of_a_file_and_what_wins(
    encoded: Path, sample: Sample, dhh: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "settings"
    (home / "films").mkdir(parents=True)
    (home / "films" / "a.jpg").write_bytes(sample.photos[0].read_bytes())
    (home / "mine.h5").write_bytes(encoded.read_bytes())
    (home / "dhh.toml").write_text('codes = "mine.h5"\nfolders = ["films"]\n')
    assert dhh("query", sample.photos[0]).exit_code == 1  # no codes.h5 here
    monkeypatch.setenv("DHH_CONFIG", str(home / "dhh.toml"))
    found = dhh("query", sample.photos[0], "--json")
    assert found.exit_code == 0, found.stderr
    assert dhh("info", "--json").exit_code == 0
    assert dhh("people").exit_code == 0
    assert dhh("query", sample.photos[0], "-c", tmp_path / "none.h5").exit_code == 1  # the command line wins
    monkeypatch.setenv("DHH_CODES", str(tmp_path / "none.h5"))
    assert dhh("query", sample.photos[0]).exit_code == 1  # so does the environment
    monkeypatch.delenv("DHH_CODES")
    new = dhh("encode")
    assert new.exit_code == 0, new.stderr
    assert f"{home / 'films' / 'a.jpg'}: photo, 1 face" in new.stderr
    assert f"{home / 'mine.h5'}: " in new.stderr
    monkeypatch.delenv("DHH_CONFIG")
    assert dhh("encode").exit_code == 2


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("codes = 3", "codes is 3; expected text"),
        ("folders = 'x'", "folders is 'x'; expected a list of paths"),
        ("colour = 'red'", "there is no setting 'colour'; known are codes, weights, provider, folders, faces"),
        ("codes", "cannot be read as settings"),
    ],
)
def test_settings_that_are_none(text: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "dhh.toml").write_text(text)
    monkeypatch.setenv("DHH_CONFIG", str(tmp_path / "dhh.toml"))
    with pytest.raises(UsageError, match=words):
        read_config()
    monkeypatch.setenv("DHH_CONFIG", str(tmp_path / "none.toml"))
    with pytest.raises(UsageError, match="No such file"):
        read_config()


def test_weights_and_provider(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dhh: Run, encoded: Path) -> None:
    monkeypatch.delenv("DHH_PROVIDER", raising=False)
    Path("dhh.toml").write_text('weights = "dhh-64"\nprovider = "CPUExecutionProvider"\n')
    config = read_config()
    assert (config.weights, config.provider, config.path) == ("dhh-64", "CPUExecutionProvider", Path("dhh.toml"))
    refused = dhh("query", "track:0", "-c", encoded)
    assert refused.exit_code == 1
    assert "codes of another model" in refused.stderr
    assert os.environ.pop("DHH_PROVIDER") == "CPUExecutionProvider"
    assert dhh("query", "track:0", "-c", encoded, "--weights", "dhh-128").exit_code == 0
    assert os.environ.pop("DHH_PROVIDER") == "CPUExecutionProvider"
    assert tmp_path == Path.cwd()


def test_a_healthy_installation(encoded: Path, sample: Sample, dhh: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dhhcli.media.sample.write_sample", lambda folder: copy_of(sample, folder))
    result = dhh("doctor", "-c", encoded)
    assert result.exit_code == 0, result.stdout
    lines = result.stdout.splitlines()
    assert lines[-1] == "all is well"
    assert all(line.startswith("ok ") for line in lines[:-1])
    for word in ("dhh 0.", "libavcodec", "h264", "licence: ", "x real time", "no dhh.toml here", "6 tracks"):
        assert word.replace("dhh 0.", "dhh: 0.") in result.stdout, word
    checks = [json.loads(line) for line in dhh("doctor", "-c", encoded, "--no-speed", "--json").stdout.splitlines()]
    assert [check["wrong"] for check in checks] == [""] * len(checks)
    assert "speed" not in {check["what"] for check in checks}


@pytest.mark.parametrize(
    ("text", "says"), [("[[[", "cannot be read as settings"), ("codes = 3", "codes is 3; expected text")]
)
def test_settings_that_stop_every_command_are_what_doctor_says(
    text: str, says: str, encoded: Path, tmp_path: Path, dhh: Run
) -> None:
    (tmp_path / "dhh.toml").write_text(text)
    assert dhh("info").exit_code == 2
    result = dhh("doctor", "-c", encoded, "--no-speed")
    assert result.exit_code == 1
    (line,) = [line for line in result.stdout.splitlines() if line.startswith("!! ")]
    assert line.startswith("!! settings:")
    assert says in result.stdout
    assert "mend or remove that file" in result.stdout


def test_what_is_wrong_is_said_with_what_mends_it(tmp_path: Path, dhh: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "codes.h5").write_bytes(b"no codes")
    monkeypatch.setenv("DHH_PROVIDER", "NoSuchProvider")
    monkeypatch.setattr(decoders.missing_decoders, "__defaults__", (("h264", "nosuchcodec"),))
    (tmp_path / "dhh.toml").write_text("provider = 'NoSuchProvider'\n")
    result = dhh("doctor", "--no-speed", "--weights", "none")
    assert result.exit_code == 1
    wrong = [line.removeprefix("!! ").partition(":")[0] for line in result.stdout.splitlines() if line[:2] == "!!"]
    assert wrong == ["decoders", "networks run on", "weights", "codes"]
    assert "cannot decode nosuchcodec; install PyAV" in result.stdout
    assert "dhh.toml: provider = NoSuchProvider" in result.stdout
    assert result.stdout.endswith("4 things to mend\n")
    closed = health._writable("here", tmp_path / "nowhere")
    assert closed.wrong == "cannot be written to (No such file or directory)"


def test_the_shell_is_offered_peoples_names(encoded: Path, dhh: Run, tmp_path: Path) -> None:
    codes = tmp_path / "named.h5"
    codes.write_bytes(encoded.read_bytes())
    assert dhh("name", codes, "--track", "0", "Ada Lovelace").exit_code == 0
    assert dhh("name", codes, "--track", "1", "Grace Hopper").exit_code == 0
    ctx: Any = SimpleNamespace(params={"codes": codes}, args=[])
    assert names_beside(ctx, "") == ["Ada Lovelace", "Grace Hopper"]
    assert names_beside(ctx, "G") == ["Grace Hopper"]
    assert who(ctx, "name:A") == ["name:Ada Lovelace"]
    assert who(ctx, "na") == ["name:Ada Lovelace", "name:Grace Hopper"]
    assert who(ctx, "photo") == who(ctx, "") == []
    for command, option, typed in (
        *(("query", option, "name:G") for option in ("people", "also", "without", "never")),
        *(("name", option, "G") for option in ("words", "remove")),
        ("query", "called", "G"),
        ("forget", "called", "G"),
    ):
        (param,) = [one for one in get_command(app).commands[command].params if one.name == option]  # type: ignore[attr-defined]
        assert [item.value for item in param.shell_complete(ctx, typed)] == [f"{typed}race Hopper"], (command, option)
    assert names_beside(SimpleNamespace(params={"codes": tmp_path / "none.h5"}, args=[]), "") == []  # type: ignore[arg-type]
    for line in (f"forget {codes} --name ", f"query -c {codes} --name ", f"name {codes} --remove ", f"name {codes} "):
        words = {
            "_DHH_COMPLETE": "complete_bash",
            "COMP_WORDS": f"dhh {line}",
            "COMP_CWORD": str(len(line.split()) + 1),
        }
        offered = CliRunner().invoke(app, prog_name="dhh", env=words)  # a codes file that is not the usual one
        assert offered.stdout.split("\n")[:2] == ["Ada Lovelace", "Grace Hopper"], line
    (tmp_path / "named.h5.names").write_text("{")
    assert names_beside(ctx, "") == []
