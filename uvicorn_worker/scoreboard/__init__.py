"""What the workers of one master know of one another: memory that they share."""
