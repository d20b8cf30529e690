"""What people read on a terminal or in a log: tables, facts, verdict lines and the progress of long work."""
