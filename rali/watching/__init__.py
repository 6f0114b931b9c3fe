"""Watch folders while they fill: events and rescans say where to look, what is whole is scored, and may be culled."""
