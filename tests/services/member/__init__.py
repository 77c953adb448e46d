"""A member's own copy: it follows, executes again, co-signs what agrees and refuses what does not."""
