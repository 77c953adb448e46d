"""What was agreed: the contracts against vectors, boundaries to the second, and whatever hypothesis makes up."""
