"""What may become of buffers that a model writes and that its outputs depend on."""

REFUSE, IO, AS_NEEDED = "refuse", "io", "as needed"

STATE_CHOICES = (REFUSE, IO)
"""As convert takes them: an error, or inputs and outputs."""
