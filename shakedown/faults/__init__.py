"""Disturbances that prove that they bit and are undone whatever becomes of the run; see docs/writing-a-fault.md."""
