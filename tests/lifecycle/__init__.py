"""Starting, stopping and refusing to start; hostile bytes; a full disk."""
