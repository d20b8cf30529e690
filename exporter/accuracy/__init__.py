"""Does a file compute what PyTorch computes: reference, budget, comparison, report."""
