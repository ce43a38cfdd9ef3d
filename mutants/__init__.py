"""Seeded defects, and the runner that scores the suites by them."""
