"""What was played, as films and as a file that can be played again."""
