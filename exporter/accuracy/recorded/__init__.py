"""Recorded sets: inputs, reference outputs and budgets as plain files, for devices without PyTorch."""
