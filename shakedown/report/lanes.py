"""The tracks of the timeline that hold states: promises, faults, alerts, each in a lane of its own; and marks."""

from collections.abc import Iterable, Mapping, Sequence

from markupsafe import Markup

from shakedown.ledger import Event
from shakedown.report import svg
from shakedown.report.plots import Track
from shakedown.report.series import Span, spans
from shakedown.report.story import Story
from shakedown.verdict import Outcome

LANE = 34  # px: a line of words above a bar
BAR_TOP, BAR = 19, 10
SHORT_S = 0.05  # a promise asked for shorter than this is too narrow to be seen; of many cases only the long ones are
MOST_LANES = 24
STAGES = {"noticed": "noticed", "out": "out of rotation", "replaced": "replaced", "whole": "whole again"}
STATES = {
    Outcome.PASSED: "state-proven",
    Outcome.FAILED: "state-failed",
    Outcome.INCONCLUSIVE: "state-unjudged",
    Outcome.NOT_PROVEN: "state-unasked",
}


def promises(story: Story, outcomes: Mapping[str, Outcome]) -> list[Span]:
    """When each test was asked, in its suite's lane; what passed in no time is left out."""
    found = []
    for event in story.of("promise"):
        test, seconds = str(event.fields["test"]), float(event.fields["seconds"])
        outcome = outcomes.get(test, Outcome.NOT_PROVEN)
        if seconds >= SHORT_S or outcome is not Outcome.PASSED:
            suite, name = test.split("/")[1], test.partition("::")[2].removeprefix("test_").replace("_", " ")
            found.append(Span(suite, STATES[outcome], event.at, event.at + seconds, f"{name} ({seconds:.1f} s)"))
    return found


def fault_lane(event: Event) -> str:
    """The fault and what it was done to."""
    return " ".join(str(event.fields[part]) for part in ("name", "target") if event.fields.get(part))


def faults(story: Story) -> list[Span]:
    """Each fault from its injection to the state that was restored; one never restored lasts to the end."""

    def state(event: Event) -> tuple[str, str]:
        step = str(event.fields["step"])
        words = str(event.fields.get("said") or "injected")
        return ("restored" if step == "restored" else "state-fault", words)

    over = frozenset({"restored"})
    injected = [event for event in story.of("fault") if event.fields["step"] in {"injected", "restored"}]
    return sorted(spans(injected, fault_lane, state, over, story.end), key=lambda each: each.start)


def alerts(story: Story) -> tuple[list[Span], list[tuple[str, float, str]]]:
    """Each alert's pending and firing times, and the moments when it was delivered: (lane, when, words)."""
    told = story.of("alert")
    states = {"pending": "state-pending", "firing": "state-firing"}

    def lane(event: Event) -> str:
        return str(event.fields["alertname"])

    def state(event: Event) -> tuple[str, str]:
        return states.get(event.fields["state"], "over"), str(event.fields["state"])

    lasting = [event for event in told if event.fields["state"] != "delivered"]
    found = spans(lasting, lane, state, frozenset({"over"}), story.end)
    arrived = [(lane(event), event.at, "delivered") for event in told if event.fields["state"] == "delivered"]
    return sorted(found, key=lambda each: each.start), arrived


def track(
    title: str, note: str, story: Story, found: Sequence[Span], moments: Iterable[tuple[str, float, str]] = ()
) -> Track | None:
    """A track with a lane for each name, in the order in which they came; None where nothing lasted."""
    names = list(dict.fromkeys(each.lane for each in found))
    if not names:
        return None
    shown = {name: LANE * index for index, name in enumerate(names[:MOST_LANES])}
    left_out = f"; {len(names) - MOST_LANES} more lanes are in the ledger" if len(names) > MOST_LANES else ""
    picture = Markup("").join(bar(each, shown[each.lane], story) for each in found if each.lane in shown)
    picture += Markup("").join(
        svg.tick(at - story.start, shown[name] + BAR_TOP - 4, BAR + 8, "tick-strong", said)
        for name, at, said in moments
        if name in shown
    )
    levels = [(top + 9.0, name) for name, top in shown.items()]
    return Track(title, note + left_out, LANE * len(shown), picture, levels, lanes=True)


def proofs(story: Story) -> list[tuple[str, float, str]]:
    """The moments when faults were proven to bite: (lane, when, words)."""
    return [
        (fault_lane(event), event.at, f"proven: {event.fields.get('said') or ''}")
        for event in story.of("fault")
        if event.fields["step"] == "proven"
    ]


def recovered(story: Story) -> list[tuple[str, float, str]]:
    """The moments at which recoveries came to their stages: (lane, when, words)."""
    told = [event for event in story.of("fault") if event.fields["step"] == "recovered"]
    return [
        (fault_lane(event), event.fields["began"] + after, f"{STAGES[stage]} after {after:.1f} s")
        for event in told
        for stage in STAGES
        if (after := event.fields.get(stage)) is not None and "began" in event.fields
    ]


def bar(each: Span, top: float, story: Story) -> Markup:
    """A span as a bar in its lane."""
    title = f"{each.lane}: {each.said}, {each.end - each.start:.1f} s"
    return svg.rectangle(each.start - story.start, each.end - story.start, top + BAR_TOP, BAR, each.state, title)


def marks(story: Story) -> Track | None:
    """The moments that windows begin or end at; None where there are none."""
    found = story.of("mark")
    if not found:
        return None
    picture = Markup("").join(svg.tick(e.at - story.start, 4, 16, "tick", str(e.fields["name"])) for e in found)
    return Track("Marks", f"moments that the suites named: {len(found)}", 24, picture)
