"""What would go, and why: nothing here touches a file."""
