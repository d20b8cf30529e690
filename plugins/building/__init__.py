"""Compiles plugin libraries: their sources, the compiler, what is instantiated, and where the result goes."""
