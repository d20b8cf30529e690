"""What a check looks into beyond outputs: the guilty layer, hazards of attention, builds that differ."""
