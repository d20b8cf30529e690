"""Faults planted into converted files: what the gate must catch, and where it must stay silent."""
