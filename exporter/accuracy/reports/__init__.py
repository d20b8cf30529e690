"""Files about a check for people and for CI: pure functions from the CheckReport to the text of a file."""
