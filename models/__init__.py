"""Trains, exports and spoils the digit classifier that the suites serve, and computes its golden answers."""
