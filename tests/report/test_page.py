"""The page is made of runs that never were, and says what they came to."""

import json
import time
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from shakedown.report import page
from shakedown.report.accounts import flows
from shakedown.report.claims import suites
from shakedown.report.lanes import faults
from shakedown.report.recoveries import recoveries
from shakedown.report.series import binned
from shakedown.report.story import read
from shakedown.verdict import Outcome
from tests.report.ledgers import NODE, PLAIN, PROMISES, SHARE, events, lay, promise, verdict, write_ledger

VOID = {"meta", "br", "link", "img", "input", "hr"}


class Page(HTMLParser):
    """What a page's markup holds, read strictly: each element is closed by its own end."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.ids += [given["id"] or ""] if "id" in given else []
        self.links += [given[name] or "" for name in ("href", "src") if name in given]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, f"</{tag}> at {self.getpos()}"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return lay(tmp_path)


def test_page_stands_alone_and_each_of_its_links_leads_somewhere(folder: Path) -> None:
    found = Page(page.write(folder).read_text())
    assert found.open == []
    assert len(found.ids) == len(set(found.ids))
    assert found.links
    assert {link.removeprefix("#") for link in found.links} <= set(found.ids), "a link out of the file"


def test_recoveries_stand_beside_those_of_the_run_before(tmp_path: Path) -> None:
    lay(tmp_path, "20261122-000000-1")
    folder = lay(tmp_path)
    faster = [{**e, "whole": 30.0, "lost": 1} if e.get("step") == "recovered" else e for e in events()]
    write_ledger(folder, faster)
    text = page.render(folder)
    assert '<td data-head="Whole again">30.0 <small>35.0</small></td>' in text
    assert '<td data-head="Lost">1 of 3,200 <small>37 of 3,200</small></td>' in text
    assert "whole again after 30.0 s" in text, "it is not on the timeline"


def test_recoveries_of_one_kind_are_one_row_and_a_stage_that_was_not_needed_is_a_dash(folder: Path) -> None:
    told = events()
    last = next(event for event in told if event.get("step") == "recovered")
    write_ledger(folder, [*told, {**last, "at": last["at"] + 1, "whole": 45.0, "replaced": None}])
    first, *others = recoveries(read(folder / "ledger.jsonl"), folder / "nowhere")
    assert (first.times, first.lost, first.before, others) == (2, 74, None, [])
    assert first.seconds == {"noticed": 2.5, "out": 2.5, "replaced": 31.0, "whole": 40.0}
    write_ledger(folder, [{**e, "replaced": None} if e.get("step") == "recovered" else e for e in told])
    assert '<td data-head="Replaced">-</td>' in page.render(folder)


def test_verdict_reason_and_diagnostics_of_a_failure_are_on_the_page(folder: Path) -> None:
    text = page.render(folder)
    assert "<h1>Failed</h1>" in text
    assert "1 proven, 1 failed, 1 not judged" in text
    assert "37 of 400 predictions failed; see retry.yaml" in text
    assert "99s Warning NodeNotReady" in text
    assert "40 lines before these are in diagnostics/test_node_is_survived/model-serving.events.txt" in text
    assert "No earlier run judged the same promises." in text
    assert "overran" in text


def test_what_a_cluster_says_is_shown_as_text_and_never_run(tmp_path: Path) -> None:
    spoilt = promise(NODE, Outcome.FAILED, "<script>alert(1)</script>")
    text = page.render(lay(tmp_path, promises=[spoilt]))
    assert "<script>alert" not in text
    assert "&lt;script&gt;alert(1)" in text


def test_each_track_is_drawn_from_its_events_and_a_missing_one_is_named(folder: Path) -> None:
    text = page.render(folder)
    for title in ("Requests", "Failed or wrong", "Latency", "Answers by version", "Replicas", "Alerts", "Faults"):
        assert f"<h3>{title} " in text
    assert "The ledger holds no" not in text
    write_ledger(folder, [event for event in events() if event["kind"] in {"ledger", "promise", "replicas"}])
    assert "The ledger holds no requests, no alerts, no faults." in page.render(folder)


def test_a_run_without_a_cluster_has_a_page_too(folder: Path) -> None:
    write_ledger(folder, events()[:1])
    assert "The ledger holds no promises" in page.render(folder)


def test_requests_are_counted_in_the_bin_in_which_they_were_sent(folder: Path) -> None:
    write_ledger(folder, events(requests=1200))
    story = read(folder / "ledger.jsonl")
    bins = binned(story)
    assert bins.width == 1
    assert np.nansum(bins.rate) == 1200
    assert np.nansum(bins.failed) == np.nansum(bins.failed[20:30]) == 100
    assert np.nansum(bins.wrong) == np.nansum(bins.wrong[100:]) == 200
    assert np.nanmax(bins.p50) == pytest.approx(0.01)
    assert np.isnan(bins.p50[25])
    assert list(bins.share) == [2, 3]


def test_comparison_names_what_changed_since_the_run_before(folder: Path) -> None:
    before = [promise(NODE, seconds=20.0), *(p for p in PROMISES if p.test != NODE)]
    lay(folder.parent, "20261122-000000-1", promises=before)
    lay(folder.parent, "20261122-000001-1", promises=[promise("suites/other/test_x.py::test_other")])
    text = page.render(folder)
    assert "Compared with 20261122-000000-1" in text
    assert "1 changed verdict," in text
    assert "1 slower" in text


def test_long_ledger_is_a_page_in_three_seconds_and_under_five_megabytes(folder: Path) -> None:
    write_ledger(folder, events(requests=100_000))
    started = time.process_time()
    written = page.write(folder)
    assert time.process_time() - started < 3
    assert written.stat().st_size < 5_000_000


def test_a_flow_that_was_measured_twice_is_two(folder: Path) -> None:
    stage = {"kind": "stage", "flow": "scale out", "floor": 1.0, "ceiling": 5.0}
    told = [{**stage, "at": 5050.0 + i, "name": name, "seconds": 2.0 + i} for i, name in enumerate(("a", "b", "a"))]
    write_ledger(folder, [*events(), *told])
    found = {flow.name: [s.seconds for s in flow.stages] for flow in flows(read(folder / "ledger.jsonl"))}
    assert found == {"kill to alert": [13.5], "scale out": [2.0, 3.0], "scale out (2)": [4.0]}


def test_what_was_not_asked_comes_after_what_was() -> None:
    left_out = promise(NODE, Outcome.NOT_PROVEN, "not asked in this run")
    asked = promise(NODE.replace("node", "pod"))
    (suite,) = suites([left_out, asked])
    assert [claim.outcome for claim in suite.claims] == [Outcome.PASSED, Outcome.NOT_PROVEN]


def test_page_says_what_was_judged_and_with_which_patches(folder: Path) -> None:
    judged = {"manifests": "sha256:abc", "images": {"x/y:1": "sha256:def"}, "patches": ["one.yaml"]}
    found = {**verdict(folder.name, PROMISES).model_dump(mode="json"), "judged": judged}
    (folder / "verdict.json").write_text(json.dumps(found))
    text = page.render(folder)
    assert "<code>sha256:abc</code>" in text
    assert "<td>x/y:1</td><td><code>sha256:def</code></td>" in text
    assert "Judged with patches on top: one.yaml" in text


def test_many_cases_and_failures_leave_the_page_small_and_say_what_is_left_out(folder: Path) -> None:
    cases = [promise(f"{PLAIN}{i}]", Outcome.FAILED, "broken " * 20) for i in range(3000)]
    (folder / "verdict.json").write_text(verdict(folder.name, cases).model_dump_json())
    written = page.write(folder)
    assert written.stat().st_size < 5_000_000
    assert "2,900 more are in verdict.json." in written.read_text()
    assert SHARE not in written.read_text()


def test_a_fault_lasts_from_its_injection_to_its_restored_state_whatever_else_is_told_of_it(folder: Path) -> None:
    told = [e for e in events() if e["kind"] != "fault"]
    for step, at in (
        ("injecting", 19),
        ("injected", 20),
        ("proven", 22),
        ("undone", 58),
        ("restored", 60),
        ("left", 61),
    ):
        told.append({"at": 5000.0 + at, "kind": "fault", "name": "stop", "target": "n", "step": step, "said": step})
    write_ledger(folder, told)
    (span,) = faults(read(folder / "ledger.jsonl"))
    assert (span.lane, span.start, span.end) == ("stop n", 5020.0, 5060.0)
