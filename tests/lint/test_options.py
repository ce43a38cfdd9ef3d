import pytest

from shakedown.lint.options import fits, program_of, programs
from shakedown.lint.workload import Container


@pytest.mark.parametrize(
    ("image", "command", "found"),
    [
        ("docker.io/library/traefik:v3.7.13", None, ["traefik:v3.7"]),
        ("registry.k8s.io/metrics-server/metrics-server:v0.9.0@sha256:00", None, ["metrics-server:v0.9"]),
        ("docker.io/library/traefik:v2.11.0", None, []),
        ("docker.io/library/traefik:v3.70", None, []),
        ("docker.io/library/traefik:v3.7.13", ["/bin/sh", "-c"], []),
    ],
)
def test_a_program_is_known_in_its_version_and_where_no_shell_reads_its_arguments(
    image: str, command: list[str] | None, found: list[str]
) -> None:
    data = {"image": image} | ({"command": command} if command else {})
    program = program_of(Container(data, "spec"))
    assert ([program.image] if program else []) == found


def test_names_that_are_free_to_choose_are_one_part_of_an_option() -> None:
    traefik = next(each for each in programs() if each.image.startswith("traefik"))
    assert traefik.takes("entrypoints.web.address") == "address"
    assert traefik.takes("entrypoints.web.adress") is None
    assert traefik.takes("entrypoints.we.b.address") is None


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        ("truth", "false", "falsex"),
        ("number", "-1", "1x"),
        ("numbers", "0.1,2", "0.1;2"),
        ("duration", "1m30s", "2min"),
        ("quantity", "16Mi", "16MiB"),
        ("address", "[::]:8080/tcp", ":8080x"),
        ("level", "INFO", "verbose"),
        ("addresses", "InternalIP,Hostname", "InternalIPx"),
        ("text", "whatever", None),
    ],
)
def test_values_are_held_against_what_the_option_takes(kind: str, good: str, bad: str | None) -> None:
    assert fits(kind, good)
    assert bad is None or not fits(kind, bad)


def test_every_kind_that_is_listed_can_be_told_apart() -> None:
    kinds = {kind for program in programs() for kind in program.options.values()} - {"text"}
    assert kinds
    assert all(not fits(kind, "?") for kind in kinds)
