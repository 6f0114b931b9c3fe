"""What goes, and comes back: journalled moves, undo, recovery."""
