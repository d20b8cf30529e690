"""One model through every way in and every command: the same outcome, or the same refusal."""
