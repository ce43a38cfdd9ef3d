"""What a run leaves behind: verdict.json and the summary that a person reads."""
