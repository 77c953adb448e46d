"""The wire formats against golden vectors, independent libraries and hostile bytes."""
