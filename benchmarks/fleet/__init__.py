"""What a frame costs, and how many machines some players need."""
