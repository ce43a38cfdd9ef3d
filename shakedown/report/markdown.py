"""The summary that a CI job shows on its page, in Markdown."""

from shakedown.report.bundle import Verdict
from shakedown.report.claims import suites
from shakedown.report.summary import WORD, totals
from shakedown.verdict import Outcome

SHOWN = 30  # promises that are not proven


def summary(verdict: Verdict) -> str:
    """What a run came to: totals, what is not proven and why, and each suite's counts."""
    parts = [f"## Shakedown: {totals(verdict.promises)}", "", about(verdict), ""]
    bad = [p for o in (Outcome.FAILED, Outcome.INCONCLUSIVE) for p in verdict.promises if p.outcome is o]
    if verdict.ended_early:
        parts += [f"**The run ended early:** {plain(verdict.ended_early)}", ""]
    parts += [f"- **{WORD[p.outcome]}** {p.suite}: {plain(p.claim)}: {plain(p.reason)}" for p in bad[:SHOWN]]
    parts += [f"- and {len(bad) - SHOWN} more in verdict.json"] if len(bad) > SHOWN else []
    parts += ["", "| suite | proven | failed | not judged | not asked |", "| --- | ---: | ---: | ---: | ---: |"]
    order = (Outcome.PASSED, Outcome.FAILED, Outcome.INCONCLUSIVE, Outcome.NOT_PROVEN)
    parts += [
        f"| {suite.name} | {' | '.join(str(suite.count(outcome)) for outcome in order)} |"
        for suite in suites(verdict.promises)
    ]
    return "\n".join(parts) + "\n"


def about(verdict: Verdict) -> str:
    """Which run it was, of what, at which pace."""
    cluster = f"cluster {verdict.cluster['name']} ({verdict.cluster['provider']})" if verdict.cluster else "no cluster"
    return f"Run {verdict.run}: profile {verdict.profile}, {verdict.clock} clock, {cluster}, {verdict.seconds:.0f} s."


def plain(text: str) -> str:
    """Text that Markdown doesn't take for markup, in one line."""
    escaped = "".join(f"\\{character}" if character in "\\`*_[]<>|#" else character for character in text)
    return " ".join(escaped.split())
