"""A model as an ExportedProgram: loaded safely or exported, what it says of itself, and running it in PyTorch."""
