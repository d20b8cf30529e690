"""Calibration and quantisation for models with attnexport operators."""
