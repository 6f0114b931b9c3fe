"""What the embedded model learns from: known faults, measured attributes, and sentences about both."""
