"""Engines: built from ONNX files, described by manifests, run and timed."""
