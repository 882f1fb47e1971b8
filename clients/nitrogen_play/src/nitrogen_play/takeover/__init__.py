"""A human who takes the pad over from the model, and gives it back."""
