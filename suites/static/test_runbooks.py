"""Every alert that ships leads whoever it wakes to a page that says what to look at first."""

import pytest
import yaml

from fixtures.static import ROOT
from fixtures.verdicts import Evidence

pytestmark = [pytest.mark.smoke, pytest.mark.own_manifests]
ALERTS = [ROOT / "manifests" / "base" / part / "alerts.yaml" for part in ("monitoring", "canary")]


def test_every_alert_links_to_a_page_that_says_what_to_look_at_first(evidence: Evidence) -> None:
    """The page is there, is the alert's own, says what to look at first or how, and no page is left over."""
    groups = [group for file in ALERTS for group in yaml.safe_load(file.read_text())["spec"]["groups"]]
    links = {r["alert"]: r["annotations"].get("runbook_url", "") for group in groups for r in group["rules"]}
    pages = {name: ROOT / link for name, link in links.items()}
    missing = {name: link for name, link in links.items() if not link or not pages[name].is_file()}
    assert not missing, f"no page at the alert's runbook_url: {missing}; write docs/runbooks/<alert>.md"
    texts = {name: page.read_text() for name, page in pages.items()}
    strange = [name for name, text in texts.items() if not text.startswith(f"# {name} (")]
    assert not strange, f"the page is another alert's: {strange}"
    silent = [name for name, text in texts.items() if "```" not in text or "look" not in text.lower()]
    assert not silent, f"the page has no command, or doesn't say where to look: {silent}"
    left = {page.stem for page in (ROOT / "docs" / "runbooks").glob("*.md")} - pages.keys()
    assert not left, f"pages of alerts that there are not: {left}"
    evidence(f"{len(pages)} alerts, each with its page")
