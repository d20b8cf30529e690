"""Character models of Python source code."""
