from pathlib import Path

import pytest

from shakedown import settings
from shakedown.settings import Clock, Profile, SettingsError, load


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_options_win_over_environment_and_that_over_the_file(elsewhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (elsewhere / settings.CONFIG_FILE).write_text(
        'profile = "smoke"\nclock = "faithful"\n[deadlines]\npods = 5\nrollout = 7\n'
    )
    monkeypatch.setenv("SHAKEDOWN_CLOCK", "fast")
    monkeypatch.setenv("SHAKEDOWN_DEADLINES__PODS", "6")
    found = load({"profile": "conformance", "clock": None}, {})
    assert (found.profile, found.clock) == (Profile.CONFORMANCE, Clock.FAST)
    assert (found.deadlines.pods, found.deadlines.rollout) == (6, 7)


def test_a_misspelt_setting_in_the_file_is_named_with_the_nearest_one(elsewhere: Path) -> None:
    (elsewhere / settings.CONFIG_FILE).write_text("[deadlines]\nrolout = 7\n")
    with pytest.raises(SettingsError, match=r"no setting 'deadlines.rolout'.*did you mean 'deadlines.rollout'"):
        load({}, {})


def test_a_file_that_does_not_parse_is_named(elsewhere: Path) -> None:
    (elsewhere / settings.CONFIG_FILE).write_text("profile = \n")
    with pytest.raises(SettingsError, match=r"shakedown\.toml"):
        load({}, {})


def test_a_misspelt_variable_is_refused() -> None:
    with pytest.raises(SettingsError, match="SHAKEDOWN_PROFIL sets nothing; did you mean SHAKEDOWN_PROFILE"):
        load({}, {"SHAKEDOWN_PROFIL": "smoke", "PATH": "/bin"})


@pytest.mark.parametrize(("name", "value"), [("profile", "huge"), ("gateway_port", "70000"), ("clock", "slow")])
def test_an_impossible_value_is_named(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=f"{name} = '{value}'"):
        load({name: value}, {})


def test_an_existing_cluster_is_never_guessed() -> None:
    with pytest.raises(SettingsError, match="--kube-context NAME"):
        load({"cluster_provider": "existing"}, {})
    with pytest.raises(SettingsError, match="goes with --cluster-provider existing"):
        load({"kube_context": "production"}, {})


def test_the_clock_follows_the_profile_unless_named() -> None:
    assert load({"profile": "smoke"}, {}).pace is Clock.FAST
    assert load({"profile": "conformance"}, {}).pace is Clock.FAITHFUL
    assert load({"profile": "conformance", "clock": "fast"}, {}).pace is Clock.FAST


def test_load_workers_stay_out_of_a_cluster_that_is_not_the_runs_own() -> None:
    with pytest.raises(SettingsError, match="the run's own cluster only"):
        load({"load_workers": "1", "cluster_provider": "existing", "kube_context": "production"}, {})


def test_there_are_no_more_load_workers_than_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 4)
    assert load({"load_workers": "4"}, {}).load_workers == 4
    with pytest.raises(SettingsError, match="this machine has 4 for all of them; 4 at most"):
        load({"load_workers": "5"}, {})
    assert load({}, {}).load_workers == 0


@pytest.mark.parametrize("value", ["-1", "many", "1.5"])
def test_load_workers_are_counted(value: str) -> None:
    with pytest.raises(SettingsError, match=f"load_workers = '{value}'"):
        load({"load_workers": value}, {})
