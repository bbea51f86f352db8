"""Starting, stopping and refusing to start; logs and `wiber log`; hostile bytes; a full disk."""
