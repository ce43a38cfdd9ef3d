"""One module per theme; shakedown.lint.judge imports them all, and so registers every rule."""
