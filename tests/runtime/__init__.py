"""Tests of attnrt, the C++ runtime, and of what uses it from Python."""
