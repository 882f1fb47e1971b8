"""How well chunks fit together on a game's real pictures, and how old their actions are when pressed."""
