"""Thin clients of the vendors and the dated model catalogue."""
