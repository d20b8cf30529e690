"""A comparison of two checks for people and programs."""
