"""Small trained models, one for every attention variant."""
