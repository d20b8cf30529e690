"""Errors of outputs, gathered batch by batch."""
