"""Damaged and hostile files of every kind, made by seed, through the command line's own entry points."""
