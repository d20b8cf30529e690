"""Two runs of the check: what became better and what worse, read from their JSON."""
