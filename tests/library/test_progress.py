from shakedown import progress


def test_a_log_gets_fewer_lines_than_a_person() -> None:
    assert progress.interval({}, terminal=True) == progress.EVERY_S
    for environment, terminal in (({"CI": "true"}, True), ({"TERM": "dumb"}, True), ({}, False)):
        assert progress.interval(environment, terminal=terminal) == progress.EVERY_IN_CI_S


def test_a_line_holds_no_control_characters_whoever_wrote_them() -> None:
    said = progress.waiting_line("set-up", "pods\tare ready", "\x1b[31m1 of 2\r\nready", 12.4, 47.6)
    assert said == "set-up: waiting 12 s (at most 48 s more) for: pods are ready | now: [31m1 of 2 ready"
